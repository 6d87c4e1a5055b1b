"""Lightning-Seg: which pixel-wise loss should a lesion-segmentation model be trained with?"""

__version__ = "0.1.0"
