"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.http import buckets
from service.http.buckets import Buckets, Level
from service.limits.middleware import rate_limit_headers


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate() -> None:
    watch = Watch()
    bucket = Buckets(monotonic=watch)
    levels = [bucket.take("a", rate=2, burst=3) for _ in range(4)]
    assert [level.left for level in levels] == [2, 1, 0, 0]
    assert [level.retry_after for level in levels] == [None, None, None, 1]
    watch.now = 0.5
    assert bucket.take("a", rate=2, burst=3).retry_after is None
    assert bucket.take("a", rate=2, burst=3).retry_after == 1
    watch.now = 100
    assert bucket.take("a", rate=2, burst=3) == Level(capacity=3, left=2, window_seconds=2, refill_seconds=1)


def test_what_passed_can_cost_more_and_is_owed_but_no_more_than_a_bucket() -> None:
    watch = Watch()
    bucket = Buckets(monotonic=watch)
    assert bucket.take("a", rate=1, burst=4).left == 3
    assert bucket.charge("a", 2, rate=1, burst=4).left == 1
    assert bucket.charge("a", 1000, rate=1, burst=4) == Level(
        capacity=4, left=0, window_seconds=4, refill_seconds=8, retry_after=None
    )
    assert bucket.take("a", rate=1, burst=4).retry_after == 5
    watch.now = 5
    assert bucket.take("a", rate=1, burst=4).retry_after is None


def test_names_have_buckets_of_their_own() -> None:
    bucket = Buckets(monotonic=Watch())
    assert bucket.take("a", rate=1, burst=1).retry_after is None
    assert bucket.take("b", rate=1, burst=1).retry_after is None
    assert bucket.take("a", rate=1, burst=1).retry_after == 1


@given(
    st.floats(min_value=0.01, max_value=1000),
    st.integers(min_value=1, max_value=50),
    st.lists(st.floats(min_value=0, max_value=10), max_size=60),
)
def test_no_span_of_time_lets_through_more_than_its_burst_and_its_rate(
    rate: float, burst: int, pauses: list[float]
) -> None:
    watch = Watch()
    bucket = Buckets(monotonic=watch)
    passed = 0
    for pause in pauses:
        watch.now += pause
        level = bucket.take("a", rate=rate, burst=burst)
        passed += level.retry_after is None
        assert passed <= burst + watch.now * rate + 1e-6
        assert 0 <= level.left <= burst


def test_the_number_of_buckets_has_an_end(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(buckets, "MAX_BUCKETS", 2)
    bucket = Buckets(monotonic=Watch())
    for name in "abcde":
        bucket.take(name, rate=1, burst=1)
    assert list(bucket._buckets) == ["d", "e"]


def test_the_headers_name_every_bucket_and_the_longest_wait() -> None:
    full = Level(capacity=10, left=9, window_seconds=5, refill_seconds=1)
    empty = Level(capacity=4, left=0, window_seconds=8, refill_seconds=8, retry_after=2)
    assert rate_limit_headers({"caller": full}) == {
        "RateLimit-Policy": '"caller";q=10;w=5',
        "RateLimit": '"caller";r=9;t=1',
    }
    assert rate_limit_headers({"caller": full, "tenant": empty}) == {
        "RateLimit-Policy": '"caller";q=10;w=5, "tenant";q=4;w=8',
        "RateLimit": '"caller";r=9;t=1, "tenant";r=0;t=8',
        "Retry-After": "2",
    }
