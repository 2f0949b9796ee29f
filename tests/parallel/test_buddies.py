"""Which ranks keep the copies of which."""

import pytest

from mpidbo.parallel.buddies import arranged


def nodes_of_buddies(hosts, count):
    """For each rank, whether each of its buddies is on another node."""
    order, distances = arranged(hosts, count)
    assert sorted(order) == [*range(len(hosts))] and len(distances) == min(count, len(hosts) - 1)
    found = {}
    for place, rank in enumerate(order):
        buddies = [order[(place + distance) % len(order)] for distance in distances]
        assert len({rank, *buddies}) == 1 + len(distances)
        found[rank] = [hosts[buddy] != hosts[rank] for buddy in buddies]
    return [found[rank] for rank in range(len(hosts))]


@pytest.mark.parametrize("hosts", ["ab", "aabb", "abab", "aabbc", "abcabc", "aaabbbccc", "aabcc"])
def test_on_other_nodes(hosts):
    assert all(far[0] for far in nodes_of_buddies([*hosts], 1))
    assert all(far[0] for far in nodes_of_buddies([*hosts], 2))


@pytest.mark.parametrize("hosts", ["aabbcc", "aabbc", "abc"])
def test_both_on_other_nodes(hosts):
    assert all(map(all, nodes_of_buddies([*hosts], 2)))


@pytest.mark.parametrize("hosts", ["a", "aa", "aaab", "aaa"])
def test_where_a_node_has_most_ranks(hosts):
    far = nodes_of_buddies([*hosts], 1)
    elsewhere = len(hosts) - hosts.count("a")
    assert sum(map(sum, far)) == 2 * elsewhere
