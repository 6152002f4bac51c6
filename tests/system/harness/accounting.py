"""Exact accounting, computed by the tests themselves from `steelyard stats --json`:

    for every worker: everything that came in = everything that went out + everything dropped by name + what is queued

and for all workers together: what one handed out, another was handed. The document's own word for it (`exact`) is not
asked.
"""

# Packets between workers: (what left a worker's books, how the same packets enter another's).
BETWEEN_WORKERS = (("handed_out", "handed_in"), ("relayed_out", "relayed_in"))


def total(counters):
    """The sum of a counter or of a (nested) table of counters."""
    if isinstance(counters, dict):
        return sum(total(inner) for inner in counters.values())
    if isinstance(counters, list):
        return sum(total(inner) for inner in counters)
    if isinstance(counters, bool) or not isinstance(counters, int):
        raise AssertionError(f"{counters!r} is no packet counter")
    return counters


def imbalances(stats):
    """One sentence for every worker whose packets do not add up; an empty list when all do."""
    workers = stats.get("workers", [])
    if not workers:
        return ["the statistics name no worker"]
    found = []
    for number, worker in enumerate(workers):
        books = worker["accounting"]
        came, went = total(books["inputs"]), total(books["outputs"])
        dropped, queued = total(books["drops"]), total(books["queued"])
        if came != went + dropped + queued:
            found.append(
                f"worker {number}: {came} packets came in, but {went} went out + {dropped} dropped + {queued} queued "
                f"= {went + dropped + queued} (difference {came - went - dropped - queued}): {books}"
            )
    return found + lost_between(workers)


def lost_between(workers):
    """Packets that left one worker's books and are in nobody's; none may be on the way when traffic has come to rest."""
    found = []
    for out, into in BETWEEN_WORKERS:
        left = sum(worker["accounting"]["outputs"].get(out, 0) for worker in workers)
        arrived = sum(worker["accounting"]["inputs"].get(into, 0) for worker in workers)
        if left != arrived:
            found.append(f"between workers: {out} is {left}, {into} is {arrived}")
    return found
