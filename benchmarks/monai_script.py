"""One run the MONAI way: CacheDataset, SupervisedTrainer and SupervisedEvaluator. Options as of plain_script.py."""

import json
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import MeanDice, ValidationHandler, from_engine
from monai.inferers import SimpleInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Lambdad,
    LoadImaged,
    NormalizeIntensityd,
    Resized,
)
from plain_script import MEAN, STD, find_pairs, make_loss, make_network, parse_arguments


def one_channel(mask):
    return mask[:1]


def main() -> None:
    arguments = parse_arguments(__doc__)
    torch.manual_seed(arguments.repeat)
    pairs = find_pairs(arguments.root)
    order = np.random.default_rng(arguments.repeat).permutation(len(pairs))
    cuts = round(0.6 * len(pairs)), round(0.8 * len(pairs))
    size = (arguments.size, arguments.size)
    transform = Compose(
        [
            LoadImaged(["image", "label"], reader="PILReader"),
            EnsureChannelFirstd(["image", "label"]),
            Resized(["image", "label"], size, mode=("bilinear", "nearest")),
            Lambdad("label", one_channel),
            AsDiscreted("label", threshold=127),
            NormalizeIntensityd("image", MEAN.flatten().numpy() * 255, STD.flatten().numpy() * 255, channel_wise=True),
        ]
    )
    train, val, test = (
        DataLoader(
            CacheDataset(
                [dict(zip(("image", "label"), pairs[i], strict=True)) for i in part],
                transform,
                num_workers=2,
                progress=False,
            ),
            batch_size=8,
            shuffle=number == 0,
        )
        for number, part in enumerate(np.split(order, cuts))
    )
    network, loss = make_network(arguments.network), make_loss(arguments.loss)
    device = torch.device("cpu")
    postprocessing = Compose([Activationsd("pred", sigmoid=True), AsDiscreted("pred", threshold=0.5)])

    def evaluator(loader: DataLoader) -> SupervisedEvaluator:
        return SupervisedEvaluator(
            device=device,
            val_data_loader=loader,
            network=network,
            inferer=SimpleInferer(),
            postprocessing=postprocessing,
            key_val_metric={"dice": MeanDice(include_background=True, output_transform=from_engine(["pred", "label"]))},
        )

    validation = evaluator(val)
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=arguments.epochs,
        train_data_loader=train,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3),
        loss_function=loss,
        inferer=SimpleInferer(),
        train_handlers=[
            ValidationHandler(1, validation, epoch_level=True),
        ],
    )
    trainer.run()
    final = evaluator(test)
    final.run()
    scores = {"val": validation.state.best_metric, "test": final.state.metrics["dice"]}
    Path(arguments.out).write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
