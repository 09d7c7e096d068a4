"""The embedded toy streets: the whole method on two CPU cores in minutes, no download.

`--config=configs/toy.py` is the active run; `--config=configs/toy.py:target_only` the reference that
trains on all target labels for as many steps.
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, paper_defaults
from adeada_jax.errors import InputError


def get_config(experiment: str = "active") -> config_dict.ConfigDict:
    """The toy configuration; `experiment` comes after a colon behind the file's name."""
    if experiment not in EXPERIMENTS:
        raise InputError(f"configs/toy.py:{experiment}: unknown; known: {', '.join(EXPERIMENTS)}")
    config = paper_defaults()
    config.experiment = experiment
    config.source.dataset = "toy/rendered"
    config.target.dataset = "toy/filmed"
    config.source.dir = config.target.dir = "data"
    config.data.update({"height": 128, "width": 256, "batch_size": 4})
    # No pretrained weights come with the package: half the channels, trained from scratch, so batch norm is
    # not frozen and the learning rate is that of training from scratch.
    config.model.update({"backbone": "resnet18_half", "freeze_batch_norm": False})
    config.warmup.update({"steps": 240, "learning_rate": 0.01, "learning_rate_steps": 20})
    config.finetune.update({"steps": 100, "learning_rate": 0.01})
    config.training.update({"log_every": 20, "checkpoint_every": 100})
    config.inference.batch_size = 8
    return config
