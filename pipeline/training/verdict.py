"""What the evaluation losses say, in words: improving, levelled off, overtrained since epoch N, or too early to tell.

The rule. Let `patience` be P evaluations (one an epoch).

1. With fewer than max(4, P + 1) evaluations it is too early to tell.
2. The losses are smoothed as much as their own noise asks for: at each evaluation a straight line is put through the
   logarithms of its neighbours, more of them the later it is, since losses change fast at first and slowly later. How
   many is decided by leaving each evaluation out and predicting it from the others: the widest of REACHES whose
   prediction is within TOLERANCE of the best.
3. The turn is the lowest loss among the evaluations around the lowest smoothed one: those within RISE of it, and its
   neighbours. The noise is what the second differences of the losses show. Each comparison below counts only beyond
   what this noise explains: CERTAIN standard errors, and SURE_OF_TURN for the turn, because the lowest of many is low
   by chance.
4. Overtrained since the turn: it lies P evaluations or more back, and the smoothed loss has risen by more than RISE.
5. Improving: the lowest smoothed loss of the last P evaluations is lower by more than GAIN than the lowest before.
6. Levelled off since the smoothed loss came within GAIN of its lowest: neither of both, and the noise is small enough
   to say that no gain of MISSED was overlooked; else it is too early to tell.

Early stopping is the same rule: it stops when the verdict is "levelled off" or "overtrained".
The checkpoint that is kept is always that of the lowest evaluation loss itself, not of the smoothed one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .metrics import EvaluationPoint

FloatArray = NDArray[np.float64]
Kind = Literal["improving", "levelled off", "overtrained", "too early to tell"]

TOLERANCE = 1.15  # of the mean squared error of prediction
CERTAIN = 2.0  # standard errors
SURE_OF_TURN = 3.0  # standard errors
REACHES = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0)  # shares of an evaluation's number: see 2
TURN_REACH = 1  # evaluations
RISE = 0.01  # relative
GAIN = 0.005  # relative
MISSED = 0.02  # relative
MOST_JUDGED = 400  # evaluations: of longer runs the last ones


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of a run so far. Epochs are 0 where there is none."""

    kind: Kind
    epoch: int  # since when it is levelled off or overtrained; else the best epoch
    best_epoch: int  # whose checkpoint is kept
    sentence: str


def judge(evaluations: Sequence[EvaluationPoint], patience: int) -> Verdict:
    """Return the verdict on the evaluations so far, by the rule above."""
    known = [point for point in evaluations if math.isfinite(point.eval_loss) and point.eval_loss > 0]
    if not known:
        return Verdict("too early to tell", 0, 0, "Too early to tell: there is no evaluation yet.")
    best = min(known, key=lambda point: point.eval_loss)
    kept = f"The checkpoint of epoch {best.epoch} is kept (evaluation loss {best.eval_loss:.3f})."
    needed = max(4, patience + 1)
    if len(known) < needed:
        sentence = f"Too early to tell: {len(known)} of the {needed} evaluations that a verdict needs. {kept}"
        return Verdict("too early to tell", best.epoch, best.epoch, sentence)
    recent = known[-MOST_JUDGED:]
    trend = _Trend(np.log([point.eval_loss for point in recent]))
    turn = recent[trend.turn].epoch
    if trend.overtrained(patience):
        worse = f"the evaluation loss was lowest there and has risen by {_percent(math.expm1(trend.rise))} since"
        if recent[-1].train_loss > recent[trend.turn].train_loss * (1 + RISE):
            worse += ", and so has the training loss: the learning rate is too high"
        return Verdict("overtrained", turn, best.epoch, f"Overtrained since epoch {turn}: {worse}. {kept}")
    gain = trend.gain(patience)
    if gain > trend.sure_gain(patience):
        fall = f"the evaluation loss fell by {_percent(-math.expm1(-gain))} in the last {patience} epochs"
        return Verdict("improving", best.epoch, best.epoch, f"Still improving: {fall}. {kept}")
    if trend.may_have_gained(patience):
        noisy = f"the evaluation loss goes up and down by {_percent(trend.noise)}, more than it changes otherwise"
        return Verdict("too early to tell", best.epoch, best.epoch, f"Too early to tell: {noisy}. {kept}")
    since = recent[trend.flat_since].epoch
    flat = "the evaluation loss hardly changes any more"
    return Verdict("levelled off", since, best.epoch, f"Levelled off since epoch {since}: {flat}. {kept}")


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def should_stop(evaluations: Sequence[EvaluationPoint], patience: int) -> bool:
    """Whether early stopping ends the run here."""
    return judge(evaluations, patience).kind in ("levelled off", "overtrained")


class _Trend:
    """Logarithms of losses, smoothed, with what can be said of them in spite of the noise."""

    def __init__(self, losses: FloatArray) -> None:
        self.weights = _choose_smoother(losses)  # row i: how much each loss counts for the smoothed loss i
        self.smooth = self.weights @ losses
        self.noise = _noise(losses)  # relative: of the logarithm
        self.turn = self._find_turn(losses)

    def _find_turn(self, losses: FloatArray) -> int:
        """Return the lowest loss near the lowest smoothed one: where a flat turn's or a sharp one's may lie."""
        lowest = int(np.argmin(self.smooth))
        first, end = max(0, lowest - TURN_REACH), min(len(losses), lowest + TURN_REACH + 1)
        while first > 0 and self.smooth[first - 1] <= self.smooth[lowest] + RISE:
            first -= 1
        while end < len(losses) and self.smooth[end] <= self.smooth[lowest] + RISE:
            end += 1
        return first + int(np.argmin(losses[first:end]))

    @property
    def rise(self) -> float:
        return float(self.smooth[-1] - self.smooth[self.turn])

    @property
    def flat_since(self) -> int:
        """Where the smoothed loss first was about as low as it ever became."""
        return int(np.argmax(self.smooth <= self.smooth.min() + GAIN))

    def overtrained(self, patience: int) -> bool:
        since = len(self.smooth) - 1 - self.turn
        return since >= patience and self.rise > max(RISE, SURE_OF_TURN * self._error(-1, self.turn))

    def gain(self, patience: int) -> float:
        before, after = self._lowest(patience)
        return float(self.smooth[before] - self.smooth[after])

    def sure_gain(self, patience: int) -> float:
        return max(GAIN, CERTAIN * self._error(*self._lowest(patience)))

    def may_have_gained(self, patience: int) -> bool:
        return self.gain(patience) + CERTAIN * self._error(*self._lowest(patience)) > MISSED

    def _lowest(self, patience: int) -> tuple[int, int]:
        """Where the lowest smoothed loss lies before the last `patience` evaluations, and among these."""
        split = len(self.smooth) - patience
        return int(np.argmin(self.smooth[:split])), split + int(np.argmin(self.smooth[split:]))

    def _error(self, one: int, other: int) -> float:
        """The standard error of the difference between two smoothed losses."""
        return self.noise * float(np.linalg.norm(self.weights[one] - self.weights[other]))


def _noise(losses: FloatArray) -> float:
    """The noise's standard deviation, from second differences (a straight trend has none), robust against turns."""
    second = np.diff(losses, 2)
    # 1.4826: median of absolute values to standard deviation, of a normal distribution; 6 = 1² + 2² + 1².
    return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))


def _choose_smoother(losses: FloatArray) -> FloatArray:
    """Return the matrix that smooths with the most neighbours whose left-out prediction is about the best."""
    smoothers = [_smoother(len(losses), share) for share in REACHES]
    errors = []
    for weights in smoothers:
        own = np.minimum(np.diag(weights), 0.999)
        errors.append(float(np.mean(((losses - weights @ losses) / (1 - own)) ** 2)))
    good = [index for index, error in enumerate(errors) if error <= TOLERANCE * min(errors)]
    return smoothers[good[-1]]


def _smoother(count: int, share: float) -> FloatArray:
    """Return local straight lines as a matrix (count, count): row i weighs the evaluations nearest to i.

    They reach `share` of i to either side, at least one: losses change fast at first and slowly later.
    """
    at = np.arange(count)
    span = np.clip(2 * np.round(share * (at + 1)).astype(int) + 1, 3, count)
    first = np.clip(at - span // 2, 0, count - span)
    x = at[None, :] - at[:, None]
    near = (at >= first[:, None]) & (at < (first + span)[:, None])
    reach = np.maximum(at - first, first + span - 1 - at)[:, None] + 1
    kernel = np.where(near, (1 - np.minimum(np.abs(x) / reach, 1) ** 3) ** 3, 0.0)  # tricube: Cleveland's loess (1979)
    # The value at x = 0 of the straight line that fits best, from the normal equations.
    m0, m1, m2 = (np.sum(kernel * x**power, axis=1, keepdims=True) for power in range(3))
    weights: FloatArray = kernel * (m2 - m1 * x) / (m0 * m2 - m1**2)
    return weights
