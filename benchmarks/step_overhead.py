"""What the framework adds to a training step: a run's fit against a bare PyTorch loop that does the same work.

    python benchmarks/step_overhead.py            # one convolution on 32 x 32 images
    python benchmarks/step_overhead.py --unet     # U-Net on 224 x 224 images, batches of 8

Both gather the same batches from the same decoded arrays, normalise them, and do the same loss, backward pass and
Adam steps, validate each epoch, count, and keep the best weights.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping
from measure import Stopwatch, alternate, report
from torch import nn

from lightning_seg.config.compose import compose_config
from lightning_seg.data.datamodule import normalise
from lightning_seg.metrics import confusion_counts, image_scores
from lightning_seg.runs.resume import ResumeCheckpoint
from lightning_seg.training.callbacks import BestWeights, EpochSeed
from lightning_seg.training.factory import make_data, make_module, make_trainer
from lightning_seg.training.history import History
from lightning_seg.training.progress import EpochProgress


class OneConvolution(nn.Conv2d):
    """The smallest network: what remains is overhead."""

    def __init__(self) -> None:
        super().__init__(3, 1, 3, padding=1)


class Clock(Callback):
    """Times what lies between the start and the end of training."""

    def __init__(self) -> None:
        self.watch = Stopwatch()

    def on_train_start(self, *_: object) -> None:
        self.watch.start()

    def on_train_end(self, *_: object) -> None:
        self.watch.stop()


def framework(cfg, folder: Path) -> Stopwatch:
    """A run's fit as the program sets it up."""
    data, module, clock = make_data(cfg), make_module(cfg), Clock()
    callbacks = [
        EpochSeed(cfg.seed, cfg.repeat),
        EarlyStopping("val_dice", mode="max", check_on_train_epoch_end=False, **cfg.early_stopping),
        BestWeights(),
        History(folder / "metrics.csv"),
        EpochProgress("benchmark"),
        ResumeCheckpoint(folder / "resume.ckpt", cfg.checkpoint.every_minutes),
        clock,
    ]
    trainer = make_trainer(cfg, folder, callbacks)
    trainer.fit(module, datamodule=data)
    return clock.watch


def bare(cfg) -> Stopwatch:
    """The same work in a plain loop."""
    data, module = make_data(cfg), make_module(cfg)
    data.setup()
    model, loss = module.model, module.loss
    optimizer = module.make_optimizer(model.parameters())
    train, val = data.train_dataloader(), data.val_dataloader()
    best = -1.0, {}
    watch = Stopwatch()
    watch.start()
    for _ in range(cfg.trainer.max_epochs):
        model.train()
        losses = []
        for batch in train:
            images = normalise(batch.images, data.mean, data.std)
            optimizer.zero_grad()
            value = loss(_main(model(images)), batch.masks.float())
            value.backward()
            optimizer.step()
            losses.append(value.detach())
        model.eval()
        counts, val_losses = [], []
        with torch.no_grad():
            for batch in val:
                masks = batch.masks.float()
                logits = model(normalise(batch.images, data.mean, data.std))
                val_losses.append(loss(logits, masks))
                counts.append(confusion_counts(logits, masks))
        scores = {name: values.mean().item() for name, values in image_scores(torch.cat(counts)).items()}
        torch.stack(losses).mean().item(), torch.stack(val_losses).mean().item()
        if scores["dice"] > best[0]:
            best = scores["dice"], {name: value.clone() for name, value in model.state_dict().items()}
    watch.stop()
    return watch


def _main(outputs):
    return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unet", action="store_true")
    parser.add_argument("--width", type=int, default=64, help="of the U-Net")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = ["trainer=cpu", "loss=bce", "logger=csv", f"data.cache_dir={folder}"]
        if arguments.unet:
            overrides += [f"model.width={arguments.width}", "dataset.count=40", "trainer.max_epochs=1"]
        else:
            overrides += ["data.image_size=32", "dataset.count=1600", "trainer.max_epochs=2"]
        cfg = compose_config(overrides)
        if not arguments.unet:
            cfg.model = {"name": "one", "_target_": "__main__.OneConvolution"}
        steps = cfg.trainer.max_epochs * round(0.6 * cfg.dataset.count) // cfg.data.batch_size
        times = alternate(
            {"bare loop": lambda: bare(cfg), "framework": lambda: framework(cfg, folder)}, arguments.rounds
        )
    what = "U-Net at 224" if arguments.unet else "one convolution at 32"
    report(f"A training step, {what} (its share of validation included)", times, "bare loop", per=steps, unit="ms")


if __name__ == "__main__":
    main()
