"""GTA5 to Cityscapes, as the paper runs it (Sec. 4.1, supplement A).

    configs/gta.py                          DeepLabV3+
    configs/gta.py:deeplabv2                DeepLabV2
    configs/gta.py:deeplabv2,target_only    Table 1's reference: all target labels, for as many steps

The words behind the colon come in any order. Prepare both data sets first (docs/data.md), and start from
ImageNet's weights: --config.model.pretrained=DIR, which scripts/import_weights.py makes.
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, choose, paper_defaults


def get_config(words: str = "") -> config_dict.ConfigDict:
    """The configuration; `words` come after a colon behind the file's name.

    What is not set here is `paper_defaults`'.
    """
    model, experiment = choose("configs/gta.py", words, ("deeplabv3plus", "deeplabv2"), EXPERIMENTS)
    config = paper_defaults()
    config.experiment = experiment
    config.model.name = model  # Sec. 4.1, "Network Backbones"; both on ResNet-101, the default
    config.source.update({"dataset": "gta5", "dir": "data"})  # 24,966 images: Sec. 4.1, "Datasets"
    config.target.update({"dataset": "cityscapes", "dir": "data"})  # 2,975 to buy labels of, 500 to evaluate
    config.acquisition.update({"alpha": 1.0, "beta": 1.0})  # supplement A, "Adaptive Budget Allocation"
    return config
