"""S2L: a small model's losses while it learns, clustered, and every cluster sampled evenly.

Yang et al., NeurIPS 2024 (arXiv 2403.07384): a small proxy is trained on the pool, the loss of each
response is recorded at T checkpoints, the trajectories are clustered by k-means, and the budget is
spread over the clusters from the smallest up: each gives all it has, or an even share of what is
left. Rows of one cluster are learned alike, so a few of them stand for all.

Ours follows the paper; `stratify_by: source` follows the released code, which first spreads the
budget over sources and clusters inside each. It differs from the code where that errs: rows that
cannot be scored are counted, not given the loss 0 of a row that is known by heart;
trajectories belong to rows by content, not by position; the choice is seeded. k-means starts from
k-means++ with restarts and sees all points, where the code samples 256 per cluster once.

The evidence is mixed: in GRAPE's replication (arXiv 2502.04194, table 2) S2L loses to random
choice on two of three models. The report prints both.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import InputError
from siftline.contracts.figures import DECIMALS
from siftline.contracts.method import Budgeted, ChoosesByScore, Request, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.trainer import Training, rows_digest
from siftline.models.training.proxy import Proxy, ProxyTraining
from siftline.scorers.given_trajectories import MISSING, GivenTrajectory
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.scorers.trajectory import Trajectory
from siftline.selectors.arrays import Bools, Ints
from siftline.selectors.budget import Budget, resolve_budget
from siftline.selectors.choices import random_order
from siftline.selectors.quotas.water_filling import Filled, fill_strata
from siftline.selectors.trajectories.clusters import centroids_of, cluster
from siftline.selectors.trajectories.normalising import Normalise, normalised
from siftline.selectors.trajectories.report import compared, curves
from siftline.selectors.trajectories.units import TrajectoryUnits, units_of
from siftline.selectors.unscored import among_scored, unscored_figures

# Members of a cluster that `skip_tiny` passes over, the released code's.
TINY = 2


class S2L(Budgeted, ChoosesByScore):
    """Keeps a budget spread evenly over clusters of loss trajectories.

    Reasons: `selected`, `over_quota`, and `unscored` for a row without a trajectory, which is
    neither chosen nor judged: an empty response, or one whose prompt fills the proxy's window,
    cannot be compared. A longer row is cut there, as in the released code (`trajectory.truncated`).

    Score columns of the table `s2l`: `cluster`, `distance` (to its centroid, in normalised
    losses). The centroids are in the stage's manifest.

    Attributes:
        model: Role of the proxy's model, a small one of the target's family.
        training: How the proxy is trained.
        trajectories: A Parquet file with the columns `id` and `losses` (a list of T numbers), in
            place of a proxy.
        budget: What is kept: a number, or a share such as `50%` of what has a trajectory.
        unit: What the budget counts: rows; prompts, which are clustered by the mean over their
            responses and keep all of them; or response tokens, of which the last row may bring some
            too many.
        clusters: Number of clusters, in the whole pool or in each source.
        fewest_per_cluster: A pool of fewer rows than this times `clusters` gets fewer clusters.
            faiss warns below 39 points a cluster.
        iterations: Most iterations of k-means, on each sample and on all points.
        restarts: Starts of k-means, of which the best goes on.
        stratify_by: `source` spreads the budget over sources first, as the released code does;
            None, as the paper.
        normalise: What is clustered: the losses as they are (`none`), less their mean (`center`),
            at length one (`l2`), or as ranks in the pool (`rank`).
        skip_tiny: Clusters of one or two rows give only what the others leave over, as in the
            released code.
        unscored: `keep` keeps rows without a trajectory beside the budget, which counts the others;
            `drop` leaves them out.
        seed: Seeds the clusters and the choice inside them; the recipe's unless stated.
    """

    revision: ClassVar[int] = 3  # 3: a budget of tokens counts those of cut rows whole

    kind: Literal["s2l"] = "s2l"
    model: str | None = None
    training: ProxyTraining = ProxyTraining()
    trajectories: str | None = None
    budget: Budget
    unit: Literal["row", "prompt", "token"] = "row"
    clusters: int = Field(default=100, ge=1)
    fewest_per_cluster: int = Field(default=39, ge=1)
    iterations: int = Field(default=20, ge=1)
    restarts: int = Field(default=3, ge=1)
    stratify_by: Literal["source"] | None = None
    normalise: Normalise = "none"
    skip_tiny: bool = False
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_origin(self) -> "S2L":
        if (self.model is None) == (self.trajectories is None):
            raise ValueError(
                "expected either 'model', to train a proxy, or 'trajectories', a file."
            )
        if self.trajectories is not None and self.unit == "token":
            raise ValueError(
                "unit: got 'token', but 'trajectories' do not tell how many tokens a row has; "
                "expected 'row' or 'prompt'."
            )
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the lengths of responses, and given trajectories."""
        given = () if self.trajectories is None else (GivenTrajectory(file=self.trajectories),)
        return (ResponseStatistics(), *given)

    def roles(self) -> tuple[str, ...]:
        """Return the role of the proxy."""
        return () if self.model is None else (self.model,)

    def local_roles(self) -> tuple[str, ...]:
        """Return the role of the proxy, whose weights are trained."""
        return self.roles()

    def follow(self, corpus: Corpus) -> Sequence[Request]:
        """Return the trajectories, for which a proxy must be trained."""
        if self.model is None or not len(corpus) or "trajectory" in corpus.tables:
            return ()
        keys = corpus.rows["content_hash"].to_pylist()
        size = max(1, round(self.training.share * len(keys)))
        learned = np.zeros(len(keys), dtype=bool)
        learned[random_order(keys, self.training.seed)[:size]] = True
        proxy = Proxy(model=self.model, training=self.training)
        scorer = Trajectory(model=self.model, proxy=proxy, trained_on=rows_digest(corpus, learned))
        every = np.ones(len(keys), dtype=bool)
        return [Request(scorer, every, Training(proxy, learned))]

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return the cluster of each row."""
        units = self._units(corpus)
        points = normalised(units.points, self.normalise)
        labels = cluster(
            points,
            units.strata,
            clusters=self.clusters,
            fewest=self.fewest_per_cluster,
            iterations=self.iterations,
            restarts=self.restarts,
            seed=self.seed,
        )
        distance = np.linalg.norm(points - centroids_of(points, labels)[labels], axis=1)
        place = pa.array(units.of_row, mask=units.of_row < 0)
        columns = {
            "cluster": pa.array(labels, pa.int32()).take(place),
            "distance": pa.array(distance, pa.float32()).take(place),
        }
        return {"s2l": pa.table(columns)}

    def decide(self, corpus: Corpus) -> pa.Table:
        """Spread the budget over the clusters.

        Raises:
            InputError: The file of trajectories holds no row of the corpus.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        statuses = np.array(corpus.column("trajectory.status").to_pylist(), dtype=object)
        if (statuses == MISSING).all():
            raise InputError(
                f"'{self.trajectories}' holds none of the {len(corpus)} rows; expected their ids, "
                f"such as '{corpus.rows['id'][0]}'."
            )
        return among_scored(self, corpus, self._units(corpus).of_row >= 0, self._choose)

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Spread the budget over the clusters of rows that all have a trajectory."""
        units = self._units(corpus)
        keep = self._fill(corpus, units).chosen[units.of_row]
        return verdicts(corpus, keep, np.where(keep, "selected", "over_quota"))

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare what is selected with the pool and with the baselines at the same budget."""
        units = self._units(corpus)
        if not len(units.keys):
            return {**unscored_figures(decided), "warnings": ["No row has a trajectory."]}
        comparison = compared(units, self._chosen(units, decided), self._budget(units), self.seed)
        labels = _labels(corpus, units)
        sizes = np.bincount(labels)
        return {
            "checkpoints": units.points.shape[1],
            "clusters": int((sizes > 0).sum()),
            "largest_cluster_share": round(float(sizes.max() / sizes.sum()), DECIMALS),
            **unscored_figures(decided),
            **comparison.figures,
            "cluster_explains_of_log_length": comparison.explained_by(labels),
            "warnings": [*comparison.warnings, *self._warnings(units)],
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the clusters' mean trajectories, sizes, quotas and first rows, for the report."""
        units = self._units(corpus)
        if not len(units.keys):
            return {}
        drawn = curves(
            units,
            normalised(units.points, self.normalise),
            _labels(corpus, units),
            self._chosen(units, decided),
            self._fill(corpus, units).quota,
            corpus.rows["id"].to_pylist(),
        )
        return {"curves": drawn}

    def _units(self, corpus: Corpus) -> TrajectoryUnits:
        return units_of(corpus, self.unit, self.stratify_by, self.seed)

    def _budget(self, units: TrajectoryUnits) -> int:
        return resolve_budget(self.budget, int(units.cost.sum()))

    def _fill(self, corpus: Corpus, units: TrajectoryUnits) -> Filled:
        return fill_strata(
            units.strata,
            _labels(corpus, units),
            units.cost,
            self._budget(units),
            tiny=TINY if self.skip_tiny else 0,
        )

    def _chosen(self, units: TrajectoryUnits, decided: pa.Table) -> Bools:
        keep = decided["keep"].to_numpy() & (units.of_row >= 0)
        chosen = np.zeros(len(units.keys), dtype=bool)
        chosen[units.of_row[keep]] = True
        return chosen

    def _warnings(self, units: TrajectoryUnits) -> list[str]:
        warnings = []
        pool = int(np.bincount(units.strata).max())
        if pool < self.fewest_per_cluster * self.clusters:
            name = "prompts" if self.unit == "prompt" else "rows"
            where = " of the largest source" if self.stratify_by else ""
            warnings.append(
                f"{pool} {name}{where} are few for {self.clusters} clusters of at least "
                f"{self.fewest_per_cluster}: there are fewer clusters, and the choice is nearer "
                "to a random one."
            )
        if units.points.shape[1] == 1:
            warnings.append(
                "With one checkpoint a trajectory is one loss, and its clusters are bins of it; "
                "train longer, or with a smaller 'batch_rows'."
            )
        return warnings


def _labels(corpus: Corpus, units: TrajectoryUnits) -> Ints:
    """Return [units] the cluster of each."""
    column = corpus.column("s2l.cluster").to_numpy(zero_copy_only=False)
    labels = np.zeros(len(units.keys), dtype=np.int64)
    known = units.of_row >= 0
    labels[units.of_row[known]] = column[known]
    return labels
