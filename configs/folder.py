"""Images of one's own, e.g. rendered ones with labels and photographs to buy labels of; for a laptop.

    configs/folder.py                 DeepLabV3+
    configs/folder.py:deeplabv2       DeepLabV2
    configs/folder.py:target_only     the reference: all target labels, for as many steps

Prepare each domain from its folder (docs/data.md) into a directory of its own:

    python scripts/prepare_data.py --dataset=folder --source_dir=DIR --data_dir=data/source
    python scripts/prepare_data.py --dataset=folder --source_dir=DIR --data_dir=data/target

Both name their classes alike, and the target may have some that the source lacks. The target has a split
train, to buy labels of, and a split val, to evaluate. Start from ImageNet's weights if you can:
--config.model.pretrained=DIR, which scripts/import_weights.py makes.
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, choose, paper_defaults


def get_config(words: str = "") -> config_dict.ConfigDict:
    """The configuration; `words` come after a colon behind the file's name.

    What is not set here is `paper_defaults`'; what differs is as in configs/toy.py, with larger images and
    more steps.
    """
    model, experiment = choose("configs/folder.py", words, ("deeplabv3plus", "deeplabv2"), EXPERIMENTS)
    config = paper_defaults()
    config.experiment = experiment
    config.num_classes = 0  # those that the data have
    config.source.update({"dataset": "folder", "dir": "data/source"})
    config.target.update({"dataset": "folder", "dir": "data/target"})
    config.data.update({"height": 256, "width": 384, "batch_size": 4})
    # Not frozen batch norm: it learns from random weights, too, and then takes the target's statistics.
    config.model.update({"name": model, "backbone": "resnet18", "freeze_batch_norm": False})
    config.optimizer.head_multiplier = 1.0
    config.warmup.update({"steps": 1_000, "learning_rate": 0.01, "learning_rate_steps": 100})
    # As much of the target as of the source in a batch: in a union of a few hundred images each, those with a
    # bought region are met too rarely.
    config.finetune.update({"steps": 1_000, "learning_rate": 0.01, "mixing": "half"})
    config.training.update({"log_every": 20, "checkpoint_every": 200, "target_statistics_steps": 30})
    config.acquisition.budget = 0.02
    config.inference.batch_size = 4
    return config
