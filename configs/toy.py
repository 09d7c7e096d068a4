"""The embedded toy streets: the whole method on two CPU cores in minutes, no download.

`--config=configs/toy.py` is the active run; `--config=configs/toy.py:target_only` the reference that
trains on all target labels for as many steps; `--config=configs/toy.py:teacher` an active run that learns
also from what it does not buy (docs/teacher.md).
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, METHODS, choose, paper_defaults


def get_config(words: str = "") -> config_dict.ConfigDict:
    """The toy configuration; `words` come after a colon behind the file's name."""
    config = paper_defaults()
    config.experiment, config.finetune.method = choose("configs/toy.py", words, EXPERIMENTS, METHODS)
    config.source.dataset = "toy/rendered"
    config.target.dataset = "toy/filmed"
    config.source.dir = config.target.dir = "data"
    config.data.update({"height": 96, "width": 192, "batch_size": 4})
    # No pretrained weights come with the package: half the channels, trained from scratch. So batch norm is
    # not frozen, and backbone and head learn equally fast, at a rate for training from scratch.
    config.model.update({"backbone": "resnet18_half", "freeze_batch_norm": False})
    config.optimizer.head_multiplier = 1.0
    config.warmup.update({"steps": 100, "learning_rate": 0.02, "learning_rate_steps": 20})
    # A few hundred steps a round are too few to meet the few target images in a union of mostly source ones,
    # and to profit from augmentation.
    config.finetune.update({"steps": 200, "learning_rate": 0.02, "mixing": "half"})
    config.training.update({"augment": False, "log_every": 10, "checkpoint_every": 50})
    config.training.target_statistics_steps = 30
    # The paper's 1% of 2,975 images is thousands of regions; of 200 images it would be 50 regions, fewer than
    # three a class.
    config.acquisition.budget = 0.02
    config.inference.batch_size = 8
    return config
