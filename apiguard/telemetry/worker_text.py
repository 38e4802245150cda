"""Workers in words, as the overview and ``apiguard check`` say them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import conf
from .formatting import format_duration, format_time
from .workers import Fleet, State, Worker


def summary(fleet: Fleet) -> str:
    """One sentence or a few: how many run what is in force, how fast it came, who else there is."""
    parts = [_unseen(fleet.unseen)] if fleet.unseen else []
    if fleet.unseen and len(fleet.workers) == 1:
        parts.append(_("This worker %(holds)s.") % {"holds": _holds(fleet.workers[0])})
    elif fleet.workers or not fleet.unseen:
        parts += _counted(fleet)
    return " ".join(parts)


def _unseen(why: str) -> str:
    if why == "memory":
        return _("Limits are counted in each process's memory; other workers cannot be seen.")
    return _("The counter's Redis does not answer (%(why)s); other workers cannot be seen.") % {
        "why": why
    }


def _counted(fleet: Fleet) -> list[str]:
    if not fleet.workers:
        return [_("No worker has reported in the last 15 minutes.")]
    parts = [_in_step(fleet)] if fleet.active else []
    following = len(fleet.of(State.FOLLOWING))
    if following:
        parts.append(
            ngettext("%d is about to follow.", "%d are about to follow.", following) % following
        )
    idle = len(fleet.of(State.IDLE))
    if idle:
        parts.append(
            ngettext(
                "%d is idle: it checks the database before it answers.",
                "%d are idle: they check the database before they answer.",
                idle,
            )
            % idle
        )
    return parts


def _in_step(fleet: Fleet) -> str:
    words = ngettext(
        "%(newest)d of %(active)d worker on revision %(revision)d%(slowest)s.",
        "%(newest)d of %(active)d workers on revision %(revision)d%(slowest)s.",
        len(fleet.active),
    )
    slowest = fleet.slowest
    return words % {
        "newest": sum(worker.is_newest for worker in fleet.active),
        "active": len(fleet.active),
        "revision": fleet.revision,
        "slowest": "" if slowest is None else _(", slowest %s") % format_duration(slowest),
    }


def sentence(worker: Worker, now: datetime) -> str:
    """Describe one worker, its name first."""
    who = {"worker": worker.process, "holds": _holds(worker)}
    if worker.state is State.IDLE:
        return _(
            "%(worker)s has been idle for %(time)s: it checks the database before it answers."
        ) % {
            **who,
            "time": format_duration(worker.age),
        }
    if worker.state is State.FAILING:
        return _failing(worker, who, now)
    if worker.state is State.LAGGING:
        return _lagging(worker, who)
    return _("%(worker)s %(holds)s.") % who


def _failing(worker: Worker, who: dict[str, str], now: datetime) -> str:
    heartbeat = worker.heartbeat
    if heartbeat.failing is None:
        return _("%(worker)s %(holds)s, and has waited for the database since %(since)s.") % {
            **who,
            "since": _ago(now, heartbeat.refreshing_for or 0, worker),
        }
    return _("%(worker)s %(holds)s, its database check fails since %(since)s: %(error)s") % {
        **who,
        "since": _ago(now, heartbeat.failing, worker),
        "error": heartbeat.error or "?",
    }


def _ago(now: datetime, seconds: float, worker: Worker) -> str:
    return format_time(now - timedelta(seconds=seconds + worker.age), now)


def _lagging(worker: Worker, who: dict[str, str]) -> str:
    refreshed = worker.heartbeat.refreshed
    if worker.heartbeat.revision is None or worker.behind is None or refreshed is None:
        return _("%(worker)s %(holds)s, although it checks the database.") % who
    return _(
        "%(worker)s %(holds)s, replaced %(behind)s ago, "
        "although it checked the database %(refreshed)s ago."
    ) % {
        **who,
        "behind": format_duration(worker.behind),
        "refreshed": format_duration(refreshed + worker.age),
    }


def remedy(worker: Worker, now: datetime) -> str:
    """Return what to do about it; "" where nothing is to be done."""
    if worker.state is State.LAGGING:
        return _("See that it uses this database and no replica or copy of it; then restart it.")
    if worker.state is not State.FAILING:
        return ""
    reach = _("See that its machine reaches the database.")
    refreshed, longest = worker.heartbeat.refreshed, conf.current().policy_max_staleness
    left = None if refreshed is None else longest - refreshed - worker.age
    if worker.heartbeat.revision is None or left is None or left <= 0:
        return _("It answers 503.") + " " + reach
    until = format_time(now + timedelta(seconds=left), now)
    return _("It goes on with what it holds until %s, then answers 503.") % until + " " + reach


def difference(worker: Worker) -> str:
    """Of a worker that finds mistakes where another one finds none."""
    return _(
        "%(worker)s finds more mistakes (%(count)d) in the same policy than another worker: "
        "their settings differ, or their versions."
    ) % {"worker": worker.process, "count": worker.heartbeat.problems}


def _holds(worker: Worker) -> str:
    if worker.heartbeat.revision is None:
        return _("holds no policy")
    return _("is on revision %d") % worker.heartbeat.revision
