#!/bin/sh
# Creates the namespace with its retention and search attributes; harmless to repeat.
# liquida/stack/temporal.py does the same for the embedded server; a test compares the two.
set -eu

tries=0
until temporal operator cluster health >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { echo "Temporal at $TEMPORAL_ADDRESS is not healthy after 2 minutes" >&2; exit 1; }
    sleep 2
done

temporal operator namespace describe --namespace "$NAMESPACE" >/dev/null 2>&1 \
    || temporal operator namespace create --namespace "$NAMESPACE" --retention 30d

complete() {
    temporal operator namespace update --namespace "$NAMESPACE" --retention 30d \
        && temporal operator search-attribute create --namespace "$NAMESPACE" \
            --name Kind --type Keyword \
            --name Status --type Keyword \
            --name UserId --type Keyword \
            --name Asset --type Keyword \
            --name Network --type Keyword \
            --name Reference --type Keyword \
            --name AmountCents --type Int
}

# A new namespace reaches every part of the server within seconds; until then it is "not found" there.
tries=0
until said=$(complete 2>&1); do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || { echo "the namespace cannot be completed: $said" >&2; exit 1; }
    sleep 2
done
