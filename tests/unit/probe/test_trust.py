"""trust.py: whom we trust and who we are, fresh from files."""

from __future__ import annotations

import logging
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from kubenurse_otel.config import TrustConfig
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.errors import CredentialsMissingError
from kubenurse_otel.model import Auth, Target, TargetKind, Trust
from kubenurse_otel.probe.trust import TrustStore

API = "https://10.96.0.1:443/version"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


def target(url: str = API, **changes: object) -> Target:
    fields: dict[str, object] = {
        "key": "api_server_direct",
        "type": "api_server_direct",
        "kind": TargetKind.API_SERVER_DIRECT,
        "url": parse_url(url),
        "interval_seconds": 5,
        "timeout_seconds": 5,
        "auth": Auth.SERVICE_ACCOUNT_TOKEN,
        "trust": Trust.API_SERVER,
    }
    return Target(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> TrustConfig:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("first\n")
    return TrustConfig(token_file=tmp_path / "token", ca_file=tmp_path / "ca.crt")


def test_the_token_goes_to_its_own_target(config: TrustConfig) -> None:
    """To nobody else's: see below."""
    store = TrustStore(config, clock=Clock())
    assert store.authorization(target()) == "Bearer first"


@pytest.mark.parametrize(
    "changes",
    [{"auth": Auth.NONE}, {"auth": Auth.NONE, "trust": Trust.WORKLOAD}],
)
def test_other_targets_get_none(config: TrustConfig, changes: dict[str, object]) -> None:
    """An extra check that ends in /version gets no token."""
    assert TrustStore(config).authorization(target(**changes)) is None


@pytest.mark.parametrize(
    "checked", [target("http://10.96.0.1:443/version"), target(trust=Trust.WORKLOAD)]
)
def test_the_token_goes_over_verified_tls_only(config: TrustConfig, checked: Target) -> None:
    """Plain HTTP or TLS that may be unverified is refused, not sent."""
    with pytest.raises(CredentialsMissingError):
        TrustStore(config).authorization(checked)


def test_a_rotated_token_is_reread(config: TrustConfig) -> None:
    """By whatever changes its file."""
    store = TrustStore(config, clock=Clock())
    assert store.authorization(target()) == "Bearer first"
    swapped = config.token_file.with_name("token.new")
    swapped.write_text("second")
    swapped.rename(config.token_file)
    assert store.authorization(target()) == "Bearer second"


@pytest.mark.parametrize("broken", [b"", b"two words", b"\xff\xfe", b"line\nline"])
def test_a_broken_token_file_keeps_the_one_before(
    config: TrustConfig, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """And says so once, without its content."""
    store = TrustStore(config, clock=Clock())
    store.authorization(target())
    config.token_file.write_bytes(broken)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert store.authorization(target()) == "Bearer first"
    assert len(caplog.records) == 1
    assert "first" not in caplog.text


def test_without_a_token_file_the_check_goes_without(config: TrustConfig) -> None:
    """/version usually answers anybody; a token that is there but broken is an error."""
    config.token_file.unlink()
    assert TrustStore(config).authorization(target()) is None
    config.token_file.write_bytes(b"\xff")
    with pytest.raises(CredentialsMissingError):
        TrustStore(config).authorization(target())


def test_contexts_verify_and_speak_http_1_1_over_tls_1_2_or_newer(config: TrustConfig) -> None:
    """For the API server whatever INSECURE says."""
    insecure = TrustConfig(insecure=True, token_file=config.token_file, ca_file=config.ca_file)
    api = TrustStore(insecure).context(Trust.API_SERVER)
    assert api.verify_mode is ssl.CERT_REQUIRED
    assert api.check_hostname
    assert api.minimum_version is ssl.TLSVersion.TLSv1_2
    workload = TrustStore(insecure).context(Trust.WORKLOAD)
    assert workload.verify_mode is ssl.CERT_NONE
    assert TrustStore(config).context(Trust.WORKLOAD).verify_mode is ssl.CERT_REQUIRED


def test_a_changed_ca_makes_a_new_context_and_half_a_file_keeps_the_old(
    config: TrustConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Rotation without a restart; a half-written file is passed over."""
    store = TrustStore(config, clock=Clock())
    first = store.context(Trust.API_SERVER)
    assert store.context(Trust.API_SERVER) is first
    whole = config.ca_file.read_bytes()
    config.ca_file.write_bytes(whole[: len(whole) // 2])
    assert store.context(Trust.API_SERVER) is first
    assert "stays in use" in caplog.text
    trustme.CA().cert_pem.write_to_path(str(config.ca_file))
    assert store.context(Trust.API_SERVER) is not first


def test_what_is_wrong_with_a_replaced_file_is_said(
    config: TrustConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the file that it is about, and not with those that are well."""
    extra = tmp_path / "extra.crt"
    trustme.CA().cert_pem.write_to_path(str(extra))
    store = TrustStore(replace(config, extra_ca=extra), clock=Clock())
    before = store.context(Trust.WORKLOAD)
    extra.unlink()
    os.mkfifo(extra)
    assert store.context(Trust.WORKLOAD) is before
    (said,) = caplog.messages
    assert f"({extra}: is no regular file)" in said
    assert str(config.ca_file) not in said


def test_a_missing_extra_ca_is_an_error_of_the_check(config: TrustConfig) -> None:
    """Not a silent check against fewer authorities."""
    gone = TrustConfig(
        extra_ca=config.ca_file.with_name("extra.crt"),
        token_file=config.token_file,
        ca_file=config.ca_file,
    )
    with pytest.raises(FileNotFoundError):
        TrustStore(gone).context(Trust.WORKLOAD)


def test_outside_a_cluster_the_systems_authorities_vouch_for_an_api_server(
    config: TrustConfig,
) -> None:
    """Still verified."""
    config.ca_file.unlink()
    context = TrustStore(config).context(Trust.API_SERVER)
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_ca_that_is_gone_is_missed_once(
    config: TrustConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The API server has nobody to vouch for it; workloads keep the authorities that they had."""
    store = TrustStore(config, clock=Clock())
    before = store.context(Trust.WORKLOAD)
    config.ca_file.unlink()
    for _ in range(3):
        assert store.context(Trust.WORKLOAD) is before
        with pytest.raises(CredentialsMissingError, match="is gone"):
            store.context(Trust.API_SERVER)
        with pytest.raises(CredentialsMissingError, match="is gone"):
            store.authorization(target())
    assert len(caplog.records) == 1
    trustme.CA().cert_pem.write_to_path(str(config.ca_file))
    assert store.context(Trust.WORKLOAD) is not before
    assert store.context(Trust.API_SERVER).cert_store_stats()["x509"] == 1


def test_an_extra_ca_alone_vouches_for_an_api_server(config: TrustConfig) -> None:
    """Where no ca.crt ever was; the system's authorities are not asked."""
    extra = config.ca_file.rename(config.ca_file.with_name("extra.crt"))
    alone = TrustConfig(extra_ca=extra, token_file=config.token_file, ca_file=config.ca_file)
    store = TrustStore(alone, clock=Clock())

    assert store.context(Trust.API_SERVER).cert_store_stats()["x509"] == 1
    assert store.authorization(target()) == "Bearer first"


def test_what_targets_need_is_there_before_their_first_check(config: TrustConfig) -> None:
    """Beforehand, for https alone; a file that cannot be read is the check's to report."""
    store = TrustStore(config, clock=Clock())
    store.load([target("http://a/", trust=Trust.WORKLOAD), target()])
    loaded = {trust for trust, one in store._contexts.items() if one.value is not None}
    assert loaded == {Trust.API_SERVER}

    broken = replace(config, extra_ca=config.ca_file.with_name("missing"))
    store = TrustStore(broken, clock=Clock())
    store.load([target()])
    with pytest.raises(FileNotFoundError):
        store.context(Trust.API_SERVER)
