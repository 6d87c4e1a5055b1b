"""Where each published dataset comes from, on which terms, and how to tell that it is whole."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.readers.busi import Busi
from lightning_seg.data.readers.clinicdb import ClinicDb
from lightning_seg.data.readers.isic import Isic
from lightning_seg.data.readers.kvasir import Kvasir
from lightning_seg.data.readers.wound import Wound

MB = 10**6


@dataclass(frozen=True)
class Remote:
    """One archive to download.

    Attributes:
        url: its address.
        file: the name under which it is kept.
        bytes: its size, approximately; for the disk check.
        checksum: ``sha256:...`` or ``md5:...``; empty if none is known, and the unpacked files are checked instead.
        only: unpack only members whose path contains this.
    """

    url: str
    file: str
    bytes: int
    checksum: str = ""
    only: str = ""


@dataclass(frozen=True)
class Source:
    """A published archive, which may hold more than one dataset.

    Attributes:
        name: its folder below the data folder, and its manifest's name.
        title: its name in the literature.
        page: its home page.
        terms: on what terms it may be used.
        citation: what its authors ask to be cited.
        readers: the datasets in it by their names in the configuration.
        unpacked_bytes: size of its files, approximately.
        remotes: the archives to download; empty if the user has to fetch it.
        by_hand: how to fetch it by hand.
        may_be_passed_on: whether its terms allow to give its images to others, as in a published report.
    """

    name: str
    title: str
    page: str
    terms: str
    citation: str
    readers: dict[str, Callable[[Path], FileDataset]]
    unpacked_bytes: int
    remotes: tuple[Remote, ...] = ()
    by_hand: str = ""
    may_be_passed_on: bool = False


def _isic(name: str, size: int, md5: str) -> Remote:
    # The MD5 sums are those that community scripts agree on; the publisher gives none.
    return Remote(f"https://isic-challenge-data.s3.amazonaws.com/2017/{name}", name, size * MB, f"md5:{md5}")


SOURCES = (
    Source(
        name="isic",
        title="ISIC-2017, task 1 (2,000 + 150 + 600 dermoscopic images)",
        page="https://challenge.isic-archive.com/data/#2017",
        terms="Public domain (CC-0).",
        may_be_passed_on=True,
        citation=(
            "Codella N. et al.: Skin lesion analysis toward melanoma detection: a challenge at ISBI 2017. ISBI 2018, "
            "168-172. doi:10.1109/ISBI.2018.8363547"
        ),
        readers={"isic": Isic},
        unpacked_bytes=12_500 * MB,
        remotes=(
            _isic("ISIC-2017_Training_Data.zip", 6_200, "a14a7e622c67a358797ae59abb8a0b0c"),
            _isic("ISIC-2017_Training_Part1_GroundTruth.zip", 9, "77fdbeb6fbec4139937224416b250f4c"),
            _isic("ISIC-2017_Validation_Data.zip", 900, "8d6419d942112f709894c0d82f6c9038"),
            _isic("ISIC-2017_Validation_Part1_GroundTruth.zip", 1, "64d3e68fa2deeb8a5e89aa8dec2efd44"),
            _isic("ISIC-2017_Test_v2_Data.zip", 5_800, "5f6a0b5e1f2972bd1f5ea02680489f09"),
            _isic("ISIC-2017_Test_v2_Part1_GroundTruth.zip", 3, "b1742de6bd257faca3b2b21a4aa3b781"),
        ),
    ),
    Source(
        name="wound",
        title="FUSeg 2021, foot ulcers (810 + 200 labelled images)",
        page="https://github.com/uwm-bigdata/wound-segmentation",
        terms="Published without a licence; for research, not to be passed on.",
        citation=(
            "Wang C. et al.: FUSeg: the foot ulcer segmentation challenge. Information 15 (2024) 140. "
            "doi:10.3390/info15030140"
        ),
        readers={"wound": Wound},
        unpacked_bytes=320 * MB,
        remotes=(
            Remote(
                "https://codeload.github.com/uwm-bigdata/wound-segmentation/zip/42a272dfe0679f20675e826385925cb7562934b6",
                "wound-segmentation-42a272d.zip",
                330 * MB,
                only="/Foot Ulcer Segmentation Challenge/",
            ),
        ),
    ),
    Source(
        name="clinicdb",
        title="CVC-ClinicDB (612 colonoscopy frames)",
        page="https://polyp.grand-challenge.org/CVCClinicDB/",
        terms="Copyright Hospital Clinic, Barcelona, Spain: research and education only, no commercial use.",
        citation=(
            "Bernal J. et al.: WM-DOVA maps for accurate polyp highlighting in colonoscopy. Computerized Medical "
            "Imaging and Graphics 43 (2015) 99-111. doi:10.1016/j.compmedimag.2015.02.007"
        ),
        readers={"clinicdb": ClinicDb},
        unpacked_bytes=320 * MB,
        by_hand="follow the link to CVC-ClinicDB.rar",
    ),
    Source(
        name="kvasir",
        title="Kvasir-SEG (1,000 polyps)",
        page="https://datasets.simula.no/kvasir-seg/",
        terms="Research and education; commercial use needs the authors' written permission.",
        citation=(
            "Jha D. et al.: Kvasir-SEG: a segmented polyp dataset. MMM 2020, LNCS 11962, 451-462. "
            "doi:10.1007/978-3-030-37734-2_37"
        ),
        readers={"kvasir": Kvasir},
        unpacked_bytes=53 * MB,
        remotes=(
            Remote(
                "https://datasets.simula.no/downloads/kvasir-seg.zip",
                "kvasir-seg.zip",
                47 * MB,
                "sha256:03b30e21d584e04facf49397a2576738fd626815771afbbf788f74a7153478f7",
            ),
        ),
    ),
    Source(
        name="busi",
        title="BUSI, breast ultrasound (437 benign and 210 malignant lesions)",
        page="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        terms="Published without a formal licence; for research, not to be passed on.",
        citation=(
            "Al-Dhabyani W. et al.: Dataset of breast ultrasound images. Data in Brief 28 (2020) 104863. "
            "doi:10.1016/j.dib.2019.104863"
        ),
        readers={
            "breast_benign": partial(Busi, kind="benign"),
            "breast_malignant": partial(Busi, kind="malignant"),
        },
        unpacked_bytes=267 * MB,
        remotes=(
            Remote(
                "https://scholar.cu.edu.eg/Dataset_BUSI.zip",
                "Dataset_BUSI.zip",
                260 * MB,
                "sha256:b2ce09f6063a31a73f628b6a6ee1245187cbaec225e93e563735691d68654de7",
            ),
        ),
    ),
)


def source_of(dataset: str) -> Source:
    """The source that holds a dataset of the configuration."""
    return next(source for source in SOURCES if dataset in source.readers)
