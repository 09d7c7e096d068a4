"""The configuration every experiment starts from; config_rules.py says what each key may be.

`configs/*.py` change values of `paper_defaults()`; the command line changes values of those
(`--config.acquisition.rounds=2`). Every number cites where it comes from: the paper, its supplement A, or
"D2ADA:" and a file of the authors' implementation.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from adeada_jax.errors import InputError
from adeada_jax.types import Json

EXPERIMENTS = ("active", "warmup_only", "source_only", "adaptation_only", "target_only")
WARMUP_METHODS = ("adversarial", "source_only")
EVALUATIONS = ("labels", "sample", "none")
# Of D_S and D_T^L in fine-tuning: their shuffled union (the paper), or as much of one as of the other.
MIXINGS = ("union", "half")
# What fine-tuning learns from: labels alone (the paper), or by pseudo-labels also what was not bought.
METHODS = ("supervised", "teacher")
NETWORKS_KEPT = ("student", "teacher")


def paper_defaults() -> config_dict.ConfigDict:
    """The paper's settings (supplement A) with DeepLabV3+ and ResNet-101; data sets left empty."""
    config = config_dict.ConfigDict()
    config.seed = 0
    config.num_classes = 19  # 0 = as many as the data have
    # What source and target share: 'all' classes, or SYNTHIA's ('synthia'): terrain, truck and train have no
    # densities then, mIoU is over the other 16 classes and mIoU* over 13 (Table 1 b).
    config.shared_classes = "all"
    # 'active' is Algorithm 1. 'warmup_only' stops after its warm-up (Table 3). The others are references, one
    # training for as many steps as warm-up and all rounds together: 'target_only' with all target labels
    # (Table 1), 'source_only' with source labels alone, 'adaptation_only' the warm-up's method gone on with.
    config.experiment = "active"

    config.source = config_dict.ConfigDict({"dataset": "", "dir": ""})
    config.target = config_dict.ConfigDict({"dataset": "", "dir": ""})
    config.data = config_dict.ConfigDict(
        {
            # Pixels; images are resized to this for the network. D2ADA: dataloader/dataset.py.
            "height": 1024,
            "width": 2048,
            "batch_size": 1,  # images a step, over all devices. D2ADA: utils/common.py
        }
    )
    _add_training(config)
    _add_acquisition(config)
    return config


def _add_training(config: config_dict.ConfigDict) -> None:
    """Model, optimiser and the two trainings."""
    config.model = config_dict.ConfigDict(
        {
            "name": "deeplabv3plus",  # Sec. 4.1, as the backbone
            "backbone": "resnet101",
            "output_stride": 16,  # D2ADA: utils/common.py
            # A checkpoint directory whose backbone is taken over; '' = random; 'auto' = the weights that an
            # installed package carries (docs/weights.md).
            "pretrained": "",
            "dtype": "float32",  # of the computation; parameters and statistics are float32
            "freeze_batch_norm": True,  # statistics and affine parameters. D2ADA: utils/common.py
            "remat": False,  # less memory in training for up to a third more FLOPs; the numbers stay the same
        }
    )
    config.optimizer = config_dict.ConfigDict(
        {
            "momentum": 0.9,  # D2ADA: agent/base_agent.py, as the next two
            "weight_decay": 5e-4,
            "head_multiplier": 10.0,  # head's learning rate over the backbone's
            "decay_power": 0.9,  # supplement A; polynomial decay (Chen et al., DeepLab)
            "end_learning_rate": 1e-6,  # D2ADA: utils/scheduler.py
            # Of the segmenter's gradients, to which they are scaled down where theirs is larger; 0 = never,
            # as in the paper.
            "clip_norm": 0.0,
        }
    )
    config.warmup = config_dict.ConfigDict(
        {
            "method": "adversarial",  # AdaptSegNet, single level (Tsai et al. 2018)
            "steps": 100_000,  # supplement A, as the learning rate
            "learning_rate": 2.5e-4,
            "learning_rate_steps": 5_000,  # linear increase from 0. D2ADA: agent/adaptseg_agent.py
            "adversarial_weight": 0.0005,  # D2ADA: agent/adaptseg_agent.py
            "discriminator_learning_rate": 2.5e-4,  # D2ADA: utils/common.py
            "checkpoint": "",  # a checkpoint directory to start from instead of training
        }
    )
    # Steps: D2ADA: utils/common.py. Learning rate: supplement A. Union: Sec. 3.3.3.
    config.finetune = config_dict.ConfigDict(
        {
            "steps": 120_000,
            "learning_rate": 2.5e-4,
            "learning_rate_steps": 0,
            "mixing": "union",
            "method": "supervised",  # or "teacher" (docs/teacher.md), which the next three are of
            "teacher_decay": 0.999,  # of the teacher's average; Tarvainen & Valpola 2017, Hoyer et al. 2022
            "pseudo_threshold": 0.968,  # of a sure pseudo-label's probability; Tranheden et al. 2021
            "keep": "student",  # which network a round leaves, as DAFormer's code does; or "teacher"
            # T of the probability of a class, by which source images are drawn (Hoyer et al. 2022: 0.01);
            # 0 = all images alike, as in the paper.
            "rare_class_sampling": 0.0,
        }
    )
    config.training = config_dict.ConfigDict(
        {
            "augment": True,
            # Parts in which a device works through its images of a step, for batches that do not fit at once.
            "accumulation": 1,
            # Forward passes over target batches after each training, so that batch norm which is trained has
            # the target's statistics (AdaBN); 0 as in the paper.
            "target_statistics_steps": 0,
            "workers": 0,  # processes that make batches; 0 = a thread (docs/loading.md)
            "log_every": 100,  # steps between two written losses
            "checkpoint_every": 5_000,  # steps between two checkpoints a killed run resumes from
        }
    )


def _add_acquisition(config: config_dict.ConfigDict) -> None:
    """Regions, densities and what is bought."""
    # D2ADA: data_preprocessing/superpixel_gen.py.
    config.regions = config_dict.ConfigDict(
        {"kind": "slic", "num_segments": 40, "compactness": 10.0, "masks": ""}  # docs/regions.md
    )
    config.inference = config_dict.ConfigDict(
        {
            "batch_size": 1,
            # Of what is evaluated and predicted; regions are always of whole images (docs/evaluation.md).
            "window": 0,  # side of sliding windows in pixels of the network's input; 0 = whole images
            "stride": 0,  # pixels from window to window
            "flip": False,  # means of an image's and its mirror image's probabilities
        }
    )
    config.density = config_dict.ConfigDict(
        {
            "kind": "gmm",  # Eq. 1; or one of your own (docs/extending.md)
            "max_components": 10,  # supplement A
            "regions_per_component": 100,  # D2ADA: active_selection/gmm_scoring.py, as what follows
            "covariance_type": "full",
            "covariance_prior": "",  # or "ledoit_wolf", "oas" where regions are few (docs/density.md)
            "weight": "regions",  # each region counts as one in the fits, as in the paper; or by its "pixels"
            "reg_covar": 1e-6,
            "tol": 1e-3,
            "max_iter": 200,
            "warm_start": False,  # k-means in every round, as in the paper; or from the round before
        }
    )
    # Who labels what is bought: here the data set's own labels do, as in the paper.
    config.oracle = config_dict.ConfigDict(
        {
            "kind": "ground_truth",
            "seconds_a_region": 10.0,  # of people's time, for estimates
            "second_opinions": 0.1,  # fraction of the regions that two people label, independently
        }
    )
    # What a model is evaluated on: the labels of the target's split val, as in the paper; a sample of regions
    # that people label; or nothing.
    config.evaluation = config_dict.ConfigDict(
        {
            "kind": "labels",
            "regions": 200,  # of a sample
            "held_back": 0.2,  # fraction of the images of a target that has no split val
        }
    )
    config.acquisition = config_dict.ConfigDict(
        {
            "strategy": "adeada",
            "rounds": 5,  # Sec. 4.1, as the budget
            "budget": 0.01,  # fraction of the target training pixels a round
            "alpha": 1.0,  # Eq. 7, Table 4; supplement A, as beta
            "beta": 1.0,
            "schedule": "half",  # Eq. 7; the others are Table 5's and Table 2's
            "class_balance": True,  # Eq. 6; False divides the density budget equally
            # Of strategies of one score: "none" = one ranking of all regions, as in the paper; else what each
            # predicted class's share of the budget goes by (docs/strategies.md).
            "class_shares": "none",
        }
    )


def choose(file: str, words: str, *groups: Sequence[str]) -> tuple[str, ...]:
    """What the words behind a configuration file's name say.

    Args:
      file: its name, for errors.
      words: separated by commas, in any order, at most one of each group; may be empty.
      *groups: the words known; the first of each stands where none is given.

    Returns:
      One word a group.

    Raises:
      InputError: an unknown word, or two of one group.
    """
    chosen: dict[int, str] = {}
    for word in filter(None, words.split(",")):
        number = next((i for i, group in enumerate(groups) if word in group), None)
        if number is None:
            known = ", ".join(word for group in groups for word in group)
            raise InputError(f"{file}:{word}: unknown; known: {known}")
        if number in chosen:
            raise InputError(f"{file}:{words}: '{chosen[number]}' or '{word}', not both")
        chosen[number] = word
    return tuple(chosen.get(i, group[0]) for i, group in enumerate(groups))


def completed(
    stored: dict[str, Any], now: dict[str, Any], defaults: dict[str, Any] | None = None
) -> Mapping[str, Json]:
    """A stored configuration with the keys of today's that it lacks, as an earlier version did not know them.

    Their defaults are what that version did.

    Args:
      stored: as it was written.
      now: the configuration that it is compared with.
      defaults: those of `paper_defaults` unless given.
    """
    defaults = json.loads(paper_defaults().to_json()) if defaults is None else defaults
    found = {**{key: defaults[key] for key in now if key in defaults}, **stored}
    for key, value in stored.items():
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            found[key] = completed(value, now[key], defaults.get(key) or {})
    return found


def differing_keys(ours: Mapping[str, Json], theirs: Mapping[str, Json], prefix: str = "") -> list[str]:
    """The dotted keys in which two nested configurations differ, sorted."""
    keys: list[str] = []
    for key in sorted(set(ours) | set(theirs)):
        one, other = ours.get(key), theirs.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            keys += differing_keys(one, other, f"{prefix}{key}.")
        elif one != other:
            keys.append(f"{prefix}{key}")
    return keys
