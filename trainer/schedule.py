"""The learning rate of each step."""

import math

SCHEDULES = ("constant", "cosine", "noam", "plateau")


def learning_rate(
    schedule: str, peak: float, warmup_steps: int, step: int, done: float, factor: float
) -> float:
    """The learning rate of one step.

    constant  the peak, after warm-up, as in all of them
    cosine    half a cosine from the peak to 0 over the run (Loshchilov and Hutter 2017,
              arXiv:1608.03983, equation 5, without restarts)
    noam      falls with the square root of the step (Vaswani et al. 2017, arXiv:1706.03762,
              equation 3, scaled so that the peak is its peak)
    plateau   the peak times `factor`, which falls when validation no longer improves

    Args:
      schedule: one of SCHEDULES.
      peak: the highest rate.
      warmup_steps: steps over which the rate rises evenly from 0; noam needs at least one.
      step: the step to be made, from 1.
      done: share of the run that lies behind, 0 to 1.
      factor: what plateau has come to, 0 to 1.
    """
    warmup = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    shape = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "noam": math.sqrt(max(warmup_steps, 1) / max(step, warmup_steps, 1)),
        "plateau": factor,
    }[schedule]
    return peak * warmup * shape
