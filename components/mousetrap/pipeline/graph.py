"""Derives from names which stage follows which, and which fan-outs are open."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mousetrap.pipeline.check_order import check_fallbacks, check_order
from mousetrap.pipeline.node import Node

#: How many fan-outs may be open, one inside the other.
MOST_NESTED = 3


class Opened(NamedTuple):
    """A fan-out that a stage's jobs are in."""

    #: The stage whose job opens it, and the stage of the child that leads here.
    opener: str
    child: str


class NamedFan(NamedTuple):
    """What one job opens: jobs of one stage, one for each item; or a job of each of several stages, which is a fork."""

    opener: str
    children: tuple[str, ...]
    #: The stages with whose outputs its children end, of which each child comes to one; of a fork, in the order of `children`.
    last: tuple[str, ...]
    #: The stage that takes them; None where nothing joins it, so that it ends the run.
    join: str | None


def edges(
    stages: Iterable[tuple[str, tuple[str, ...] | None]], apart: Container[str]
) -> Mapping[str, tuple[str, ...]]:
    """The names of the stages that each one follows, by its name; `apart` are the fallbacks, which follow none."""
    found: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for name, after in stages:
        found[name] = after if after is not None else () if name in apart else before
        before = (name,)
    return found


class Graph:
    """The stages of one pipeline, each behind those that it follows.

    Raises ValueError, with the edge and the fix, for joins that do not match a fan-out or a fork.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}
        fallbacks = {node.fallback for node in nodes if node.fallback}
        self.before = edges([(node.name, node.after) for node in nodes], fallbacks)
        check_fallbacks(nodes)
        check_order(nodes, self.before)
        self.after = {name: self._followers(name) for name in self.nodes}
        self.ends = tuple(name for name, following in self.after.items() if not following)
        self._origins = {
            name: tuple(node.name for node in nodes if node.fallback == name) for name in self.nodes
        }
        #: The fork that each stage joins, by its name: the stage that it begins with.
        self._forks = {node.name: self._fork_of(node) for node in nodes if node.edge == "join"}
        self.opened: dict[str, tuple[Opened, ...]] = {}
        for node in nodes:
            self.opened[node.name] = self._opened_before(node)
        self.fans = tuple(self._found_fans())
        self._check_joins()
        self._check_ends()

    def fork(self, name: str) -> tuple[str, ...]:
        """The stages that all take the output of this one; empty where it is no fork."""
        return self.after[name] if name in self._forks.values() else ()

    def _followers(self, name: str) -> tuple[str, ...]:
        return tuple(each for each, names in self.before.items() if name in names)

    def _fork_of(self, join: Node) -> str:
        """The stage whose followers, all of them, lead to one each of those that `join` names."""
        names = self.before[join.name]
        for name, following in reversed(self.after.items()):
            reached = [[way for way in following if last in self._reach(way)] for last in names]
            ways = [way[0] for way in reached if len(way) == 1]
            if len(names) == len(ways) > 1 and sorted(ways) == sorted(following):
                return name
        raise ValueError(
            f"{join.name!r} joins {_and(names)}, and no stage is followed by what leads to these and to nothing else: name the last "
            "stage of each branch that one stage begins; where a run comes to one of them alone, write AnyOf in place of All"
        )

    def _reach(self, name: str) -> set[str]:
        """The stage and all that a run can come to from there."""
        found, left = set(), [name]
        while left:
            here = left.pop()
            if here in found:
                continue
            found.add(here)
            fallback = self.nodes[here].fallback
            left += [*self.after[here], *([fallback] if fallback else [])]
        return found

    def _opened_before(self, node: Node) -> tuple[Opened, ...]:
        """The fan-outs that the jobs of a stage are in, the innermost last."""
        names = self.before[node.name]
        if node.edge == "gather":
            return self._gathered(node, names)
        if node.edge == "join":
            return self._joined(node, names)
        ways = [self._opened_by(name, node) for name in names]
        ways += [self.opened[origin] for origin in self._origins[node.name]]
        for name, way in zip((*names, *self._origins[node.name]), ways, strict=True):
            if way != ways[0]:
                raise ValueError(
                    self._apart(node.name, (names + self._origins[node.name])[0], name, (ways[0], way))
                )
        opened = ways[0] if ways else ()
        if len(opened) > MOST_NESTED:
            raise ValueError(
                f"{node.name!r} is in {len(opened)} fan-outs, one inside the other, and {MOST_NESTED} are the most: join one of "
                "them before it, or start a run of another pipeline"
            )
        return opened

    def _opened_by(self, name: str, node: Node) -> tuple[Opened, ...]:
        opens = node.edge == "each" or name in self._forks.values()
        return (*self.opened[name], *([Opened(name, node.name)] if opens else []))

    def _gathered(self, node: Node, names: tuple[str, ...]) -> tuple[Opened, ...]:
        opened = self.opened[names[0]]
        for name in names:
            if self.opened[name] != opened:
                raise ValueError(self._apart(node.name, names[0], name, (opened, self.opened[name])))
        if not opened:
            raise ValueError(
                f"{node.name!r} joins {_and(names)}, which no fan-out leads to: let the stage that takes the items follow with "
                "after=Each('stage'), or leave out All"
            )
        if children := self.fork(opened[-1].opener):
            raise ValueError(
                f"{node.name!r} joins {_and(names)} alone, and {_and(children)} all follow {opened[-1].opener!r}: name one stage of "
                "each branch in All"
            )
        return opened[:-1]

    def _joined(self, node: Node, names: tuple[str, ...]) -> tuple[Opened, ...]:
        outside = self.opened[self._forks[node.name]]
        for name in names:
            opened = self.opened[name]
            if len(opened) > len(outside) + 1:
                raise ValueError(
                    f"{node.name!r} joins {name!r}, which is still in the fan-out of {opened[-1].opener!r}: join that first, "
                    f"with a stage after All({name!r}), and name that stage"
                )
        return outside

    def _apart(
        self, name: str, one: str, other: str, ways: tuple[tuple[Opened, ...], tuple[Opened, ...]]
    ) -> str:
        """Why a stage cannot follow whichever of two comes."""
        mine, theirs = (dict(way) for way in ways)
        for opener in mine.keys() & theirs.keys():
            if mine[opener] != theirs[opener]:
                return (
                    f"{name!r} takes whichever of {one!r} and {other!r} comes, and both do, as {opener!r} is followed by "
                    f"{mine[opener]!r} and {theirs[opener]!r}: join them with All in one stage"
                )
        opener = next(iter(mine.keys() ^ theirs.keys()))
        inside, outside = (one, other) if opener in mine else (other, one)
        return (
            f"{name!r} takes whichever of {one!r} and {other!r} comes, and {inside!r} is in what {opener!r} opens, where {outside!r} is "
            f"not: let {name!r} follow the stage that joins {inside!r}"
        )

    def _found_fans(self) -> Iterator[NamedFan]:
        for node in self.nodes.values():
            if node.edge == "each":
                (opener,) = self.before[node.name]
                join = self._join_of(opener)
                inside = (name for name in self.ends if (opener, node.name) in self.opened[name])
                yield NamedFan(opener, (node.name,), self.before[join] if join else tuple(inside), join)
        for join, opener in self._forks.items():
            forks, lasts = self.after[opener], self.before[join]
            ends = tuple(next(last for last in lasts if last in self._reach(fork)) for fork in forks)
            yield NamedFan(opener, forks, ends, join)

    def _join_of(self, opener: str) -> str | None:
        """The stage that gathers the fan-out of `opener`."""
        joins = [
            node.name
            for node in self.nodes.values()
            if node.edge == "gather" and self.opened[self.before[node.name][0]][-1].opener == opener
        ]
        if len(joins) > 1:
            raise ValueError(
                f"{_and(joins)} both join the fan-out of {opener!r}: join it once, with All(AnyOf(…)) where its jobs end with one of "
                "several stages"
            )
        return joins[0] if joins else None

    def _check_joins(self) -> None:
        """What opens a fan-out, and what one is joined from, is followed by that alone."""
        for node in self.nodes.values():
            for name in self.before[node.name] if node.edge != "one" else ():
                others = [each for each in self.after[name] if each != node.name]
                if not others:
                    continue
                what = "takes each item of" if node.edge == "each" else "joins"
                advice = f"let {others[0]!r} follow {node.name!r}"
                raise ValueError(
                    f"{node.name!r} {what} {name!r}, and {_and(others)} follows it too: {advice}"
                )

    def _check_ends(self) -> None:
        joins = {fan.opener: fan.join for fan in self.fans}
        for name in self.ends:
            opened = self.opened[name]
            for place in opened:
                if (join := joins[place.opener]) is not None:
                    raise ValueError(self._open_end(name, join))
            if len(opened) > 1:
                raise ValueError(
                    f"nothing joins the fan-out of {opened[-1].opener!r}, which is in that of {opened[-2].opener!r}: let a stage "
                    f"follow with after=All({name!r})"
                )

    def _open_end(self, name: str, join: str) -> str:
        last = ", ".join(map(repr, self.before[join]))
        if self.nodes[join].edge == "gather":
            advice = f"name it there too, as All(AnyOf({last}, {name!r}))"
        else:
            advice = f"let a stage with AnyOf follow it and the end of its branch, and name that one in All({last})"
        return f"{name!r} ends where jobs are left that {join!r} joins: {advice}"


def _and(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
