"""A client of django-hordak, run by its own Python: ``drive.py HOST PORT USER DATABASE settle ACCOUNTS``, or
``... drive THREADS SECONDS uniform|hot``, which says when it is ready, waits for a line, and answers with a tally.
"""

import json
import random
import sys
import threading
import time

import django
from django.conf import settings

WARM_UP_CALLS = 5


def configure(host, port, user, database):
    server = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, "USER": user, "NAME": database}
    settings.configure(
        DATABASES={"default": server},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "mptt", "djmoney", "hordak"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DEFAULT_CURRENCY="BRL",
        HORDAK_CURRENCIES=["BRL"],
        USE_TZ=True,
        SECRET_KEY="of a bench that serves nobody",
    )
    django.setup()


def settle(count):
    from django.core.management import call_command
    from hordak.models import Account, AccountType

    call_command("migrate", verbosity=0)
    for number in range(count):
        Account.objects.create(name=f"account {number}", code=str(number), type=AccountType.asset, currencies=["BRL"])


def drive(threads, seconds, is_hot):
    from django.db import connection
    from hordak.models import Account
    from moneyed import Money

    accounts = list(Account.objects.order_by("id"))
    amount = Money(1, "BRL")
    latencies, failures, posted = [], {}, []
    warm, go = threading.Barrier(threads + 1), threading.Barrier(threads + 1)

    def transfer():
        source, target = random.sample(accounts, 2)
        if is_hot:
            source, target = random.sample((accounts[0], random.choice(accounts[1:])), 2)
        source.transfer_to(target, amount)
        posted.append(1)

    def client():
        for _ in range(WARM_UP_CALLS):
            transfer()
        warm.wait()
        go.wait()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            started = time.perf_counter_ns()
            try:
                transfer()
            except Exception as error:  # noqa: BLE001 the bench names it and is void
                failures[type(error).__name__] = failures.get(type(error).__name__, 0) + 1
            else:
                latencies.append((time.perf_counter_ns() - started) // 1_000)
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for one in clients:
        one.start()
    warm.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, started = time.process_time(), time.perf_counter()
    go.wait()
    for one in clients:
        one.join()
    tally = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "done": len(latencies),
    }
    print(json.dumps(tally | {"posted": len(posted), "latencies": latencies, "failures": failures}), flush=True)


def main():
    *address, action, first = sys.argv[1:7]
    configure(*address)
    if action == "settle":
        settle(int(first))
    else:
        drive(int(first), float(sys.argv[7]), sys.argv[8] == "hot")


if __name__ == "__main__":
    main()
