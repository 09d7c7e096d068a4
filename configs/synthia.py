"""SYNTHIA to Cityscapes, as the paper runs it (Sec. 4.1, supplement A).

    configs/synthia.py                          DeepLabV3+
    configs/synthia.py:deeplabv2                DeepLabV2
    configs/synthia.py:deeplabv2,target_only    Table 1's reference: all target labels, for as many steps
    configs/synthia.py:teacher                  learns also from what is not bought (docs/teacher.md)

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
    model, experiment, method = choose("configs/synthia.py", words, models, EXPERIMENTS, METHODS)
    config = paper_defaults()
    config.experiment, config.finetune.method = experiment, method
    config.model.name = model  # Sec. 4.1, "Network Backbones"; both on ResNet-101, the default
    config.source.update({"dataset": "synthia", "dir": "data"})  # 9,400 images: Sec. 4.1, "Datasets"
    config.target.update({"dataset": "cityscapes", "dir": "data"})  # 2,975 to buy labels of, 500 to evaluate
    # The network has 19 outputs and learns all 19 from bought labels, as the authors' does (base_agent.py,
    # region_dataset.py); densities and mIoU are those of the 16 classes both have, mIoU* of 13 (Table 1 b).
    config.num_classes = 19
    config.shared_classes = "synthia"
    config.acquisition.update({"alpha": 0.5, "beta": 1.0})  # supplement A, "Adaptive Budget Allocation"
    return config
