"""What the guards' own clients take over from the user's configuration."""

from __future__ import annotations

from streamwarden.producers.connection import (
    PARKING_OVERHEAD_BYTES,
    connection_of,
    consumer_parking_config,
    merged,
    parking_config,
    reader_config,
)

USER = {
    "bootstrap.servers": "broker:9092",
    "security.protocol": "SASL_SSL",
    "sasl.username": "app",
    "sasl.password": "s3cret",
    "ssl.ca.location": "/ca.pem",
    "client.id": "checkout",
    "transactional.id": "checkout-1",
    "acks": 0,
    "enable.idempotence": False,
    "compression.type": "zstd",
    "group.id": "g",
    "linger.ms": 1000,
    "on_delivery": print,
    "stats_cb": print,
    "error_cb": print,
}


def test_a_connection_is_taken_over_whole_and_nothing_else() -> None:
    """Own clients reach the cluster as the user does, and do none of what the user's do."""
    found = connection_of(USER)

    assert set(found) == {
        "bootstrap.servers",
        "security.protocol",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "client.id",
    }


def test_the_old_name_of_the_servers_is_taken_too() -> None:
    """`metadata.broker.list` and `bootstrap.servers` at once would be refused by the client."""
    assert connection_of({"metadata.broker.list": "a:1"}) == {"bootstrap.servers": "a:1"}


def test_parked_events_are_written_safely_whatever_was_configured() -> None:
    """acks=0 is the caller's choice for events, and nobody's for parked ones."""
    found = parking_config(USER)

    assert found["acks"] == "all"
    assert found["enable.idempotence"] is True
    assert found["compression.type"] == "zstd"
    assert not {"transactional.id", "on_delivery", "stats_cb", "error_cb"} & set(found)


def test_parked_events_have_room_for_what_parking_adds() -> None:
    """An event as large as its producer allows still fits with its decision."""
    assert parking_config({})["message.max.bytes"] == 1_000_000 + PARKING_OVERHEAD_BYTES
    assert (
        parking_config({"message.max.bytes": "5000"})["message.max.bytes"]
        == 5000 + PARKING_OVERHEAD_BYTES
    )


def test_the_client_of_parked_events_is_quiet_unless_asked() -> None:
    """It begins with the first refused event, and what it tries again is nobody's concern."""
    own = {"log_level": 7}

    assert parking_config({})["log_level"] == 3
    assert parking_config({"log_level": 0})["log_level"] == 0
    assert parking_config({}, own)["log_level"] == 7
    assert "log_level" not in parking_config({"debug": "msg"})
    assert "log_level" not in parking_config({"logger": object()})


def test_own_settings_win_but_for_what_makes_the_writes_safe() -> None:
    """`parking={…}` tunes the producer of parked events; it cannot make it lose some."""
    found = parking_config(USER, {"linger.ms": 50, "acks": 0, "transactional.id": "x"})

    assert found["linger.ms"] == 50
    assert found["acks"] == "all"
    assert "transactional.id" not in found


def test_a_consumer_stops_trying_to_park_after_half_a_minute_unless_told_otherwise() -> None:
    """The client's five minutes would be five minutes without a word."""
    assert consumer_parking_config(USER)["delivery.timeout.ms"] == 30_000
    assert "delivery.timeout.ms" not in consumer_parking_config(USER, {"message.timeout.ms": 9})


def test_a_reader_leaves_no_trace() -> None:
    """It commits nothing, and stops rather than jump over what is gone."""
    found = reader_config(USER, "reader")

    assert found["group.id"] == "reader"
    assert found["enable.auto.commit"] is False
    assert found["auto.offset.reset"] == "error"
    assert found["isolation.level"] == "read_committed"


def test_keywords_win_over_the_mapping() -> None:
    """As in the client's own constructor."""
    assert merged({"a": 1, "b": 1}, {"b": 2}) == {"a": 1, "b": 2}
