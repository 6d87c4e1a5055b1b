"""The publications behind datasets, networks, losses and this comparison, as BibTeX.

Names of further authors are left to the database that the DOI or arXiv number leads to. Where another file names the
same publication in words, a test holds its number against the one here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A publication.

    Attributes:
        author: its first author, family name first.
        title: of it.
        venue: journal, conference or "arXiv".
        year: of publication.
        number: ``doi:...`` or ``arXiv:...``; "" where it has none.
        others: whether there are further authors.
    """

    author: str
    title: str
    venue: str
    year: int
    number: str = ""
    others: bool = True

    def bibtex(self, key: str) -> str:
        """An entry of a BibTeX file."""
        kind, _, number = self.number.partition(":")
        fields = {
            "author": f"{self.author} and others" if self.others else self.author,
            "title": f"{{{self.title}}}",
            "journal": self.venue,
            "year": str(self.year),
            **({"doi": number} if kind == "doi" else {"eprint": number, "archiveprefix": "arXiv"} if number else {}),
        }
        return "\n".join([f"@article{{{key},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"])


STUDY = {
    "jang2025": Work(
        "Jang, Sujin and Ahn, Hongryul",
        "A Comparative Study of Pixel-Wise Loss Functions for Deep-Learning-Based Lesion Segmentation in Medical "
        "Imaging",
        "Journal of Broadcast Engineering",
        2025,
        "doi:10.5909/JBE.2025.30.2.104",
        others=False,
    )
}

DATASETS = {  # by the name of their archive
    "isic": Work(
        "Codella, Noel", "Skin lesion analysis toward melanoma detection: a challenge at ISBI 2017", "ISBI", 2018,
        "doi:10.1109/ISBI.2018.8363547",
    ),
    "wound": Work(
        "Wang, Chuanbo", "FUSeg: the foot ulcer segmentation challenge", "Information", 2024, "doi:10.3390/info15030140"
    ),
    "clinicdb": Work(
        "Bernal, Jorge", "WM-DOVA maps for accurate polyp highlighting in colonoscopy",
        "Computerized Medical Imaging and Graphics", 2015, "doi:10.1016/j.compmedimag.2015.02.007",
    ),
    "kvasir": Work(
        "Jha, Debesh", "Kvasir-SEG: a segmented polyp dataset", "MultiMedia Modeling", 2020,
        "doi:10.1007/978-3-030-37734-2_37",
    ),
    "busi": Work(
        "Al-Dhabyani, Walid", "Dataset of breast ultrasound images", "Data in Brief", 2020,
        "doi:10.1016/j.dib.2019.104863",
    ),
}  # fmt: skip

NETWORKS = {
    "fcn": Work(
        "Long, Jonathan", "Fully convolutional networks for semantic segmentation", "CVPR", 2015, "arXiv:1411.4038"
    ),
    "deeplabv3plus": Work(
        "Chen, Liang-Chieh", "Encoder-decoder with atrous separable convolution for semantic image segmentation",
        "ECCV", 2018, "arXiv:1802.02611",
    ),
    "unet": Work(
        "Ronneberger, Olaf", "U-Net: convolutional networks for biomedical image segmentation", "MICCAI", 2015,
        "arXiv:1505.04597",
    ),
    "unetplusplus": Work(
        "Zhou, Zongwei", "UNet++: a nested U-Net architecture for medical image segmentation", "DLMIA", 2018,
        "arXiv:1807.10165",
    ),
    "colonsegnet": Work(
        "Jha, Debesh",
        "Real-time polyp detection, localization and segmentation in colonoscopy using deep learning", "IEEE Access",
        2021, "doi:10.1109/ACCESS.2021.3063716",
    ),
    "fatnet": Work(
        "Wu, Huisi", "FAT-Net: feature adaptive transformers for automated skin lesion segmentation",
        "Medical Image Analysis", 2022, "doi:10.1016/j.media.2021.102327",
    ),
    "fcbformer": Work(
        "Sanderson, Edward", "FCN-transformer feature fusion for polyp segmentation", "MIUA", 2022, "arXiv:2208.08352"
    ),
    "colonformer": Work(
        "Duc, Nguyen Thanh", "ColonFormer: an efficient transformer based method for colon polyp segmentation",
        "IEEE Access", 2022, "doi:10.1109/ACCESS.2022.3195241",
    ),
    "caranet": Work(
        "Lou, Ange", "CaraNet: context axial reverse attention network for segmentation of small medical objects",
        "Journal of Medical Imaging", 2023, "doi:10.1117/1.JMI.10.1.014005",
    ),
    "esfpnet": Work(
        "Chang, Qi",
        "ESFPNet: efficient deep learning architecture for real-time lesion segmentation in autofluorescence "
        "bronchoscopic video",
        "SPIE Medical Imaging", 2023, "arXiv:2207.07759",
    ),
    "ducknet": Work(
        "Dumitru, Razvan-Gabriel", "Using DUCK-Net for polyp image segmentation", "Scientific Reports", 2023,
        "doi:10.1038/s41598-023-36940-5",
    ),
    "emcadnet": Work(
        "Rahman, Md Mostafijur",
        "EMCAD: efficient multi-scale convolutional attention decoding for medical image segmentation", "CVPR", 2024,
        "arXiv:2405.06880",
    ),
}  # fmt: skip

_KARIMI = Work(
    "Karimi, Davood",
    "Reducing the Hausdorff distance in medical image segmentation with convolutional neural networks",
    "IEEE Transactions on Medical Imaging", 2019, "arXiv:1904.10030",
)  # fmt: skip
_UNIFIED = Work(
    "Yeung, Michael",
    "Unified focal loss: generalising Dice and cross entropy-based losses to handle class imbalanced medical image "
    "segmentation",
    "Computerized Medical Imaging and Graphics", 2022, "arXiv:2102.04525",
)  # fmt: skip

LOSSES = {  # by the class of the term; IoU, Dice and cross-entropy are as Jang & Ahn give them
    "FocalLoss": Work("Lin, Tsung-Yi", "Focal loss for dense object detection", "ICCV", 2017, "arXiv:1708.02002"),
    "SquaredDiceLoss": Work(
        "Milletari, Fausto",
        "V-Net: fully convolutional neural networks for volumetric medical image segmentation", "3DV", 2016,
        "arXiv:1606.04797",
    ),
    "LogCoshDiceLoss": Work(
        "Jadon, Shruti", "A survey of loss functions for semantic segmentation", "CIBCB", 2020, "arXiv:2006.14822",
        others=False,
    ),
    "GeneralizedDiceLoss": Work(
        "Sudre, Carole H.",
        "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations", "DLMIA", 2017,
        "arXiv:1707.03237",
    ),
    "PenaltyGeneralizedDiceLoss": Work(
        "Yang, Su", "Major vessel segmentation on X-ray coronary angiography using deep networks with a novel penalty "
        "loss function", "MIDL", 2019,
    ),
    "ExpLogLoss": Work(
        "Wong, Ken C. L.",
        "3D segmentation with exponential logarithmic loss for highly unbalanced object sizes", "MICCAI", 2018,
        "arXiv:1809.00076",
    ),
    "NACLLoss": Work(
        "Murugesan, Balamurali", "Trust your neighbours: penalty-based constraints for model calibration", "MICCAI",
        2023, "arXiv:2303.06268",
    ),
    "MCCLoss": Work(
        "Abhishek, Kumar and Hamarneh, Ghassan",
        "Matthews correlation coefficient loss for deep convolutional networks: application to skin lesion "
        "segmentation", "ISBI", 2021, "doi:10.1109/ISBI48211.2021.9433782", others=False,
    ),
    "SensitivitySpecificityLoss": Work(
        "Brosch, Tom",
        "Deep convolutional encoder networks for multiple sclerosis lesion segmentation", "MICCAI", 2015,
        "doi:10.1007/978-3-319-24574-4_1",
    ),
    "HausdorffLoss": _KARIMI,
    "HausdorffErosionLoss": _KARIMI,
    "BoundaryLoss": Work(
        "Kervadec, Hoel", "Boundary loss for highly unbalanced segmentation", "MIDL", 2019, "arXiv:1812.07032"
    ),
    "DistanceBCELoss": Work(
        "Caliva, Francesco", "Distance map loss penalty term for semantic segmentation", "MIDL", 2019
    ),
    "WeightedBCELoss": NETWORKS["unet"],
    "BalancedBCELoss": Work("Xie, Saining and Tu, Zhuowen", "Holistically-nested edge detection", "ICCV", 2015,
        "arXiv:1504.06375", others=False,
    ),
    "TopKLoss": Work(
        "Wu, Zifeng", "Bridging category-level and instance-level semantic image segmentation", "arXiv", 2016,
        "arXiv:1605.06885",
    ),
    "PolyBCELoss": Work(
        "Leng, Zhaoqi", "PolyLoss: a polynomial expansion perspective of classification loss functions", "ICLR", 2022,
        "arXiv:2204.12511",
    ),
    "TverskyLoss": Work(
        "Salehi, Seyed Sadegh Mohseni",
        "Tversky loss function for image segmentation using 3D fully convolutional deep networks", "MLMI", 2017,
        "arXiv:1706.05721",
    ),
    "FocalTverskyLoss": Work(
        "Abraham, Nabila and Khan, Naimul Mefraz",
        "A novel focal Tversky loss function with improved attention U-Net for lesion segmentation", "ISBI", 2019,
        "arXiv:1810.07842", others=False,
    ),
    "AsymmetricLoss": Work(
        "Hashemi, Seyed Raein",
        "Asymmetric loss functions and deep densely connected networks for highly imbalanced medical image "
        "segmentation: application to multiple sclerosis lesion detection", "IEEE Access", 2018, "arXiv:1803.11078",
    ),
    "UnifiedFocalLoss": _UNIFIED,
    "LovaszLoss": Work(
        "Berman, Maxim",
        "The Lovasz-softmax loss: a tractable surrogate for the optimization of the intersection-over-union measure in "
        "neural networks", "CVPR", 2018, "arXiv:1705.08790",
    ),
    "CenterlineDiceLoss": Work(
        "Shit, Suprosanna",
        "clDice: a novel topology-preserving loss function for tubular structure segmentation", "CVPR", 2021,
        "arXiv:2003.07311",
    ),
}  # fmt: skip

GUIDELINES = {
    "claim2024": Work(
        "Tejani, Ali S.", "Checklist for artificial intelligence in medical imaging (CLAIM): 2024 update",
        "Radiology: Artificial Intelligence", 2024, "doi:10.1148/ryai.240300",
    ),
    "tripodai2024": Work(
        "Collins, Gary S.",
        "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression or machine "
        "learning methods", "BMJ", 2024, "doi:10.1136/bmj-2023-078378",
    ),
    "metricsreloaded2024": Work(
        "Maier-Hein, Lena", "Metrics reloaded: recommendations for image analysis validation", "Nature Methods", 2024,
        "doi:10.1038/s41592-023-02151-z",
    ),
}  # fmt: skip
