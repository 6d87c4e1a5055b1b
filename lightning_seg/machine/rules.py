"""What the keys that concern devices and speed may be."""

from lightning_seg.rules import Rules, boolean, one_of, optional, whole

RULES: Rules = {
    "speed.channels_last": boolean(),
    "speed.compile": one_of(None, "default", "reduce-overhead", "max-autotune"),
    "speed.matmul_precision": one_of("highest", "high", "medium"),
    "runs_per_gpu": whole(1),
    "threads": optional(whole(1)),
}
