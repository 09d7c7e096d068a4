"""What pyproject.toml cannot say: the configurations beside the package are installed within it."""

from setuptools import find_packages, setup

CONFIGS = "adeada_jax.configs"
setup(packages=[*find_packages(include=["adeada_jax*"]), CONFIGS], package_dir={CONFIGS: "configs"})
