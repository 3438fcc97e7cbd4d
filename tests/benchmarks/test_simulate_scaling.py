"""The simulated autoscaler follows the rules of Kubernetes and KEDA, and the simulation loses nothing."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import simulate_scaling
from benchmarks.scaling.autoscaler import Autoscaler, Policy, Rules, ScalerConfig, Sight, by_cpu, by_queue
from benchmarks.scaling.cluster import Cluster, ClusterConfig
from benchmarks.scaling.figures import chart, figures, quantile
from benchmarks.scaling.measured import FILES, LINE, PHOTO, Measured, fitted, lines_of
from benchmarks.scaling.pod import Pod, PodState
from benchmarks.scaling.pods import HEADROOM, PodSize, image_cpu_seconds, images_per_second, pods_for
from benchmarks.scaling.scenarios import BURST, DAY, PULSES, SCENARIOS, STEP, Scenario, arrivals, mean_megapixels
from benchmarks.scaling.simulation import SEED, Record, World, simulate
from benchmarks.scaling.sweeps import SWEEPS, run
from helm.rendering import CHART
from processor.formats.info import ImageInfo
from processor.pipeline.estimate import working_bytes
from service.config import Settings
from service.machine import OWN_BYTES
from tests.searching import searching

#: Nothing is held back: what the metric says is done.
FREE = Rules(stabilization_seconds=0, policies=())


def rate(images: float, seconds: float = 300, backlog: int = 0) -> Scenario:
    return Scenario(name="steady", says="always the same", seconds=seconds, rate=lambda _: images, backlog=backlog)


def free(**values: int | None) -> ScalerConfig:
    shipped = ScalerConfig(scale_up=FREE, scale_down=FREE, cpu_percent=None)
    return replace(shipped, **values)  # type: ignore[arg-type]


# -- the autoscaler ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("messages", "current", "pods"), [(0, 2, 0), (1, 2, 1), (7, 2, 3), (9, 2, 3), (600, 2, 200)])
def test_pods_are_the_messages_by_queue_length_rounded_up(messages: int, current: int, pods: int) -> None:
    assert by_queue(messages, current, 3) == pods


@pytest.mark.parametrize(("messages", "pods"), [(27, 10), (30, 10), (32, 10), (26, 9), (34, 12)])
def test_a_tenth_more_or_less_changes_nothing(messages: int, pods: int) -> None:
    assert by_queue(messages, 10, 3) == pods


@pytest.mark.parametrize(("used", "pods"), [(80.0, 4), (87.0, 4), (100.0, 5), (160.0, 8), (40.0, 2), (0.0, 0)])
def test_the_cpu_trigger_brings_utilization_to_its_target(used: float, pods: int) -> None:
    assert by_cpu(Sight(messages=0, ready=4, cpu_percent=used), 4, 80) == pods


def test_pods_that_are_not_ready_yet_damp_the_cpu_trigger() -> None:
    assert by_cpu(Sight(messages=0, ready=4, cpu_percent=100), 8, 80) == 8
    assert by_cpu(Sight(messages=0, ready=0, cpu_percent=0), 2, 80) == 2


def test_the_trigger_that_wants_more_wins() -> None:
    scaler = Autoscaler(free(cpu_percent=80))
    assert scaler.decide(0, 4, Sight(messages=30, ready=4, cpu_percent=100)) == 10
    assert scaler.decide(15, 10, Sight(messages=0, ready=10, cpu_percent=100)) == 13


@given(messages=st.lists(st.integers(0, 2000), min_size=1, max_size=60))
def test_pods_stay_between_the_least_and_the_most(messages: list[int]) -> None:
    config = ScalerConfig(min_replicas=2, max_replicas=20)
    scaler, pods = Autoscaler(config), 2
    for tick, seen in enumerate(messages):
        pods = scaler.decide(15.0 * tick, pods, Sight(messages=seen, ready=pods, cpu_percent=50))
        assert 2 <= pods <= 20


def test_a_scale_down_waits_for_the_whole_window() -> None:
    scaler = Autoscaler(replace(free(), scale_down=replace(FREE, stabilization_seconds=300)))
    assert scaler.decide(0, 2, Sight(messages=30, ready=2)) == 10
    quiet = [scaler.decide(float(at), 10, Sight(messages=0, ready=10)) for at in range(15, 301, 15)]
    assert quiet == [10] * 20
    assert scaler.decide(315, 10, Sight(messages=0, ready=10)) == 2


@given(messages=st.lists(st.integers(0, 300), min_size=25, max_size=60))
def test_nothing_recommended_within_the_window_is_undercut(messages: list[int]) -> None:
    config = replace(free(max_replicas=100), scale_down=replace(FREE, stabilization_seconds=300))
    scaler, pods, wanted = Autoscaler(config), 2, []
    for tick, seen in enumerate(messages):
        wanted.append(by_queue(seen, pods, 3))
        before, pods = pods, scaler.decide(15.0 * tick, pods, Sight(messages=seen, ready=pods))
        assert pods >= min(before, max(wanted[-21:]), 100)


def test_a_scale_down_takes_at_most_its_part_in_a_period() -> None:
    half = Rules(stabilization_seconds=0, policies=(Policy(kind="Percent", value=50, period_seconds=60),))
    scaler, pods, path = Autoscaler(replace(free(), scale_down=half)), 20, []
    for tick in range(13):
        pods = scaler.decide(15.0 * tick, pods, Sight(messages=0, ready=pods))
        path.append(pods)
    assert path == [10, 10, 10, 10, 5, 5, 5, 5, 2, 2, 2, 2, 2]


def test_kubernetes_own_way_up_doubles_or_adds_four() -> None:
    scaler, pods, path = Autoscaler(replace(ScalerConfig(max_replicas=100), cpu_percent=None)), 1, []
    for tick in range(5):
        pods = scaler.decide(15.0 * tick, pods, Sight(messages=300, ready=pods))
        path.append(pods)
    assert path == [5, 10, 20, 40, 80]


# -- pods and nodes ---------------------------------------------------------------------------------------------------


def test_slots_are_those_of_the_service() -> None:
    names = {"SOURCE_BUCKET": "s", "PROCESSED_BUCKET": "p", "PROCESSING_TABLE": "t", "WORKER_THREADS": "2"}
    urls = {"QUEUE_URL": "http://queue/q", "CLOUDFRONT_URL": "http://edge"}
    assert PodSize(threads=2).slots == Settings.from_env({**names, **urls}).slots == ScalerConfig().queue_length


def test_two_threads_share_one_processor() -> None:
    pod = Pod(PodSize(cpus=1, threads=2), 0.0, state=PodState.READY, taken=2)
    pod.begin(0.0, 1.0, 0.0)
    assert pod.next_end(0.0) == 1.0
    pod.begin(0.5, 1.0, 0.0)
    assert pod.next_end(0.5) == 1.5  # half is left, at half the pace
    assert pod.end(1.5) == 0.0
    assert pod.next_end(1.5) == 2.0
    pod.end(2.0)
    assert (pod.spent, pod.taken) == (2.0, 0)


def test_a_thread_never_has_more_than_one_processor() -> None:
    pod = Pod(PodSize(cpus=4, threads=2), 0.0, state=PodState.READY, taken=1)
    pod.begin(0.0, 1.0, 0.0)
    assert pod.next_end(0.0) == 1.0


def test_a_pod_without_room_waits_for_a_node_which_others_share() -> None:
    config = ClusterConfig(spare=1, start_seconds=10, node_seconds=(60, 90), pods_per_node=2)
    cluster = Cluster(config, random.Random(SEED))
    assert cluster.place(0) == 10
    first, second, third = (cluster.place(0) for _ in range(3))
    assert 70 <= first == second <= 100
    assert 70 <= third != first


def test_an_empty_place_is_used_until_its_node_goes() -> None:
    cluster = Cluster(ClusterConfig(spare=0, linger_seconds=300), random.Random(SEED))
    cluster.leave(0)
    cluster.leave(0)
    assert cluster.place(299) == 309
    assert cluster.place(301) > 301 + 60


# -- the simulation ---------------------------------------------------------------------------------------------------


def conserved(record: Record) -> bool:
    return (
        record.came
        == record.done + record.waiting + record.in_work
        == len(record.servable) + record.waiting + (record.in_work)
    )


@searching(25)
@given(
    images=st.floats(0, 30),
    backlog=st.integers(0, 500),
    scaler=st.builds(ScalerConfig, max_replicas=st.integers(2, 30), queue_length=st.integers(1, 10)),
    world=st.builds(World, pod=st.builds(PodSize, threads=st.integers(1, 4)), seed=st.integers(0, 1000)),
)
def test_no_image_is_lost_or_done_twice(images: float, backlog: int, scaler: ScalerConfig, world: World) -> None:
    record = simulate(rate(images, backlog=backlog), replace(world, scaler=scaler))
    assert conserved(record)
    assert record.came >= backlog
    assert record.cpu_seconds_used <= record.cpu_seconds_had + 1e-6 * record.cpu_seconds_had
    assert max(sample.ready for sample in record.samples) <= scaler.max_replicas
    assert min(record.servable, default=1.0) >= world.wait_seconds


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(STEP) == simulate(STEP)
    assert simulate(STEP).servable != simulate(STEP, World(seed=SEED + 1)).servable


def test_worlds_that_differ_in_scaling_see_the_same_images_come() -> None:
    few, many = (simulate(STEP, World(scaler=ScalerConfig(max_replicas=most))) for most in (12, 30))
    assert few.came == many.came
    assert few.cpu_seconds_used == pytest.approx(many.cpu_seconds_used, rel=0.01)


def test_ready_pods_never_exceed_the_most() -> None:
    record = simulate(BURST, World(scaler=ScalerConfig(max_replicas=7)))
    assert max(sample.ready for sample in record.samples) == 7
    assert record.done == record.came


def test_pods_that_are_enough_are_used_as_reckoned() -> None:
    """The formula of the table and the simulation agree: so many pods leave the headroom free."""
    cost, images = image_cpu_seconds(12.0), 10.0
    pods = pods_for(images, cost, PodSize())
    scaler = free(min_replicas=pods, max_replicas=pods)
    found = figures(simulate(rate(images, 3600), World(scaler=scaler, sizes={12.0: 1})))
    assert found.wasted == pytest.approx(1 - images * cost / pods, abs=0.02)
    assert found.wasted >= HEADROOM - 0.02
    assert found.servable_p95 < 10 * cost


def test_too_few_pods_leave_a_queue_that_grows_as_reckoned() -> None:
    cost = image_cpu_seconds(12.0)
    record = simulate(rate(10, 1800), World(scaler=free(min_replicas=2, max_replicas=2), sizes={12.0: 1}))
    assert record.done == pytest.approx(1800 * 2 * images_per_second(PodSize(), cost), rel=0.02)
    assert record.waiting == record.came - record.done - record.in_work > 0


def test_what_a_pod_has_in_work_is_done_although_it_is_told_to_go() -> None:
    record = simulate(rate(0, 600, backlog=60), World(scaler=replace(free(min_replicas=1), scale_down=FREE)))
    assert (record.done, record.waiting, record.in_work) == (60, 0, 0)
    assert record.samples[-1].pods == 1


def test_an_old_count_of_messages_slows_the_way_up() -> None:
    fresh = figures(simulate(STEP))
    stale = figures(simulate(STEP, World(scaler=ScalerConfig(use_cached_metrics=True, polling_seconds=60))))
    assert stale.max_waiting > 2 * fresh.max_waiting


def test_arrivals_come_at_the_scenarios_rate() -> None:
    times = list(arrivals(rate(20, 1000), random.Random(SEED)))
    assert times == sorted(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert list(arrivals(rate(0), random.Random(SEED))) == []


@pytest.mark.slow
def test_the_shipped_values_serve_every_scenario_to_its_end() -> None:
    """All that came is shown or still at work when the scenario is over; nothing waits."""
    for scenario in SCENARIOS:
        record = simulate(scenario)
        assert conserved(record)
        assert record.waiting == 0, scenario.name


def test_each_sweep_holds_the_shipped_values() -> None:
    for name, sweep in SWEEPS.items():
        assert ScalerConfig() in {setting.scaler for setting in sweep.settings.values()}, name


def test_the_page_says_in_words_what_is_simulated() -> None:
    assert 315 < run(BURST).servable_p95 < 345  # "about five and a half minutes"
    assert run(DAY).age_p95 == 0  # "hardly an image waits for a pod"
    assert run(DAY).max_waiting < 10
    at_once = SWEEPS["down"].settings["0"]
    kept, dropped = run(PULSES), run(PULSES, at_once)
    assert kept.servable_p50 < 1
    assert dropped.servable_p50 > 20
    assert kept.pod_hours == pytest.approx(2 * dropped.pod_hours, rel=0.15)
    assert run(DAY).pod_hours / run(DAY, at_once).pod_hours == pytest.approx(1.2, abs=0.03)


def test_two_photographs_of_90_megapixels_fit_into_a_pod() -> None:
    pod = yaml.safe_load((CHART / "values.yaml").read_text())["resources"]["limits"]["memory"]
    limit = int(pod.removesuffix("Mi")) * 2**20
    budget = limit - OWN_BYTES - Settings.model_fields["max_upload_bytes"].default
    needed = [
        working_bytes(ImageInfo(format="jpeg", width=width, height=8000), 6_000_000) for width in (11_250, 12_000)
    ]
    assert 2 * needed[0] <= budget < 2 * needed[1]


# -- figures and formulas ---------------------------------------------------------------------------------------------


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [quantile(values, part) for part in (0.0, 0.5, 0.95, 0.99, 1.0)] == [1, 50, 95, 99, 100]
    assert quantile([], 0.5) == 0


def test_a_chart_shows_the_queue_and_the_pods() -> None:
    lines = chart(simulate(BURST).samples, BURST.seconds).splitlines()
    assert len(lines) == 3 + 3 * 6 + 1
    assert all(len(line) <= 73 for line in lines)
    assert any("#" in line for line in lines)


@given(base=st.floats(0.001, 1), slope=st.floats(0.001, 1))
def test_a_line_is_found_again(base: float, slope: float) -> None:
    sizes = ((2000, 1000), (4000, 2000), (4000, 3000), (8000, 6000))
    measured = [
        Measured(
            kind=PHOTO,
            width=width,
            height=height,
            file_bytes=1,
            variant_bytes=1,
            cpu_seconds=base + slope * width * height / 1e6,
        )
        for width, height in sizes
    ]
    line = fitted(measured)
    assert line.base == pytest.approx(base, rel=1e-3, abs=1e-6)
    assert line.per_megapixel == pytest.approx(slope, rel=1e-3)
    assert line.worst < 1e-6


def test_the_line_is_within_a_tenth_of_every_photograph_from_two_megapixels_on() -> None:
    assert lines_of(FILES)[PHOTO] == LINE
    assert LINE.worst < 0.1


@given(images=st.floats(0.1, 5000), cost=st.floats(0.01, 5), cpus=st.floats(0.25, 8), headroom=st.floats(0, 0.9))
def test_pods_are_enough_and_not_one_more(images: float, cost: float, cpus: float, headroom: float) -> None:
    pod = PodSize(cpus=cpus, threads=8)
    pods = pods_for(images, cost, pod, headroom)
    assert pods * cpus * (1 - headroom) >= images * cost * (1 - 1e-6)
    assert (pods - 1) * cpus * (1 - headroom) < images * cost or pods == 1


def test_a_hundred_images_of_half_a_second_need_72_pods() -> None:
    assert pods_for(100, 0.5, PodSize(), headroom=0.3) == 72 == math.ceil(100 * 0.5 / 0.7)
    assert images_per_second(PodSize(cpus=4, threads=2), 0.5) == 4  # threads are the bound


def test_the_mean_of_the_sizes_is_by_weight() -> None:
    assert mean_megapixels({1.0: 1, 4.0: 2}) == 3


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    arguments = ["--scenario", "burst", "--max-replicas", "30", "--sizes", "2:1,12:1", "--chart", "--json", str(out)]
    simulate_scaling.main(arguments)
    (written,) = json.loads(out.read_text())["scenarios"]
    assert (written["scenario"], written["max_pods"], written["waiting"]) == ("burst", 30, 0)
    assert "| `burst` |" in capsys.readouterr().out


def test_sizes_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        simulate_scaling.main(["--sizes", "large"])
    assert "not megapixels:weight" in capsys.readouterr().err
