"""Addresses of hollow nodes and pods."""

import pytest

from bireme.simulation.addresses import NoAddress, Pool


def test_each_is_given_to_one_at_a_time_and_the_last_one_back_comes_last() -> None:
    pool = Pool("192.0.2.0/29")
    given = [pool.take() for _ in range(6)]
    assert given == [f"192.0.2.{number}" for number in range(1, 7)]
    with pytest.raises(NoAddress):
        pool.take()
    pool.give_back("192.0.2.3")
    assert pool.take() == "192.0.2.3"
