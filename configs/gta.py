"""GTA5 to Cityscapes, as the paper runs it (Sec. 4.1, supplement A).

    configs/gta.py                          DeepLabV3+
    configs/gta.py:deeplabv2                DeepLabV2
    configs/gta.py:deeplabv2,target_only    Table 1's reference: all target labels, for as many steps
    configs/gta.py:teacher                  learns also from what is not bought (docs/teacher.md)

The words behind the colon come in any order. Prepare both data sets first (docs/data.md), and start from
ImageNet's weights: --config.model.pretrained=DIR, which scripts/import_weights.py makes.
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, METHODS, choose, paper_defaults


def get_config(words: str = "") -> config_dict.ConfigDict:
    """The configuration; `words` come after a colon behind the file's name.

    What is not set here is `paper_defaults`'.
    """
    models = ("deeplabv3plus", "deeplabv2")
    model, experiment, method = choose("configs/gta.py", words, models, EXPERIMENTS, METHODS)
    config = paper_defaults()
    config.experiment, config.finetune.method = experiment, method
    config.model.name = model  # Sec. 4.1, "Network Backbones"; both on ResNet-101, the default
    config.source.update({"dataset": "gta5", "dir": "data"})  # 24,966 images: Sec. 4.1, "Datasets"
    config.target.update({"dataset": "cityscapes", "dir": "data"})  # 2,975 to buy labels of, 500 to evaluate
    config.acquisition.update({"alpha": 1.0, "beta": 1.0})  # supplement A, "Adaptive Budget Allocation"
    return config
