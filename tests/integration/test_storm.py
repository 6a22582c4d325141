"""kill -9 of every process at random moments under sign-ins and sales: not one wrong allow, not one lost event, and who lost nothing stays signed in.

STORM_KILLS of any process at random moments, some together, STORM_MEAN_S apart; before them STORM_ALONE of daemons one by one, which tells how soon one is ready
again. STORM_SEED=n repeats the choice. The report goes to the terminal (-s), and to the file STORM_REPORT. `make soak` kills a thousand.
"""

import os
import random

from storm import Judge, Period, Session, Storm, percentiles
from suite import SANITIZED
from test_edge import Edge

KILLS = int(os.environ.get("STORM_KILLS", "20"))
ALONE = int(os.environ.get("STORM_ALONE", "6"))
MEAN_S = float(os.environ.get("STORM_MEAN_S", "0.6"))
SEED = int(os.environ.get("STORM_SEED", str(random.randrange(1 << 32))))
RATE = 0.3 if SANITIZED else 1
DAEMONS = [f"{name}-{i}" for name in ("router", "auth", "session", "chain-oracle", "agent-wallet") for i in (1, 2)] + ["secret-vault-1"]


def test_kills_at_random_moments_let_nobody_in_and_lose_nothing():
    edge = Edge(replicas=2, MULTICLAW_EDGE_RATE=100000, MULTICLAW_EDGE_CONNECTIONS=10000)
    try:
        storm = Storm(edge.suite, DAEMONS + ["redis", "nginx"], SEED, sign_ins=200 * RATE, transfers=20 * RATE).run(KILLS, ALONE, MEAN_S)
        storm.settle()
        judge = storm.judge()
        lines = [f"seed {SEED}", *storm.report(judge)]
        print("\n".join(lines))
        if os.environ.get("STORM_REPORT"):
            with open(os.environ["STORM_REPORT"], "a") as report:
                report.write("\n".join(lines) + "\n")
        judge.assert_promise()
        assert all(k.ready_s is not None or k.again for k in storm.kills), lines[-3:]
        # `make soak` has the machine to itself
        assert ALONE < 100 or percentiles(storm.alone_s())[99] <= 0.5, lines
        assert len(judge.found_s) > KILLS / 2 and storm.statuses["verify", 200] > 3 * KILLS, lines[1:3]  # a busy machine is no failure
        assert storm.statuses["former", 403], "nobody tried it with what was sold"
    finally:
        edge.stop()


# ---- the judge


def judged(seen, logged_out_at=None, confirmed_at=101.0, events=(100.9,), let_in=()):
    period = Period("asset", None)
    period.sent_at, period.confirmed_at = (100.5, confirmed_at) if confirmed_at else (None, None)
    session = Session(period, "token", "agent", 99.0)
    session.seen, session.logged_out_at, session.is_leaving = seen, logged_out_at, bool(logged_out_at)
    judge = Judge([period], [session], [(at, period) for at in let_in], {"asset": list(events)})
    return {name for name in ("wrong", "strangers", "lost", "late", "revived", "shut_out") if getattr(judge, name)}


def test_the_judge_sees_what_is_wrong_and_nothing_else():
    def answer(status, asked_at, point="router-1"):
        return asked_at, asked_at + 0.01, point, status

    assert judged([answer(200, 100.0), answer(200, 102.8), answer(401, 102.85), answer(503, 104), answer(401, 120)], let_in=[99, 100.9]) == set()
    assert judged([answer(200, 103.0)]) == {"wrong"}
    assert judged([answer(200, 103.0, "edge"), answer(401, 102.9)]) == {"wrong"}
    assert judged([answer(200, 103.0)], confirmed_at=None, logged_out_at=100.9, events=()) == {"wrong"}
    assert judged([answer(200, 102.0)], confirmed_at=None, logged_out_at=100.9, events=()) == set()
    assert judged([answer(401, 100.1)]) == {"shut_out"}
    assert judged([answer(401, 200.0)], confirmed_at=None, events=()) == {"shut_out"}
    assert judged([], let_in=[101.1]) == {"strangers"}
    assert judged([], events=()) == judged([], events=(100.4,)) == {"lost"}
    assert judged([], events=(132.0,)) == {"late"}
    assert judged([answer(401, 101.5), answer(200, 103.6)], events=(102.0,)) == {"revived"}
