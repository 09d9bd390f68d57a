"""One entry of EOS's `show ip bgp neighbors`, with about as many fields as a real one has.

Source of the shape: public answers of real devices in the test data of NAPALM's eos driver.
"""

from typing import Any

from dzbgp.lab.eos.device import LOCAL_ASN, EosPeer

Json = dict[str, Any]

UPTIME_MARK = -987_654_321
"""Stands for establishedTime: the one value that changes by itself, filled in when an answer is sent."""

_DROPS = (
    "inDropAsloop",
    "inDropClusterIdLoop",
    "inDropMalformedMpbgp",
    "inDropOrigId",
    "inDropNhLocal",
    "inDropNhAfV6",
    "prefixDroppedMartianV4",
    "prefixDroppedMartianV6",
    "prefixLuDroppedV4",
    "prefixLuDroppedMartianV4",
    "prefixLuDroppedV6",
    "prefixLuDroppedMartianV6",
    "prefixEvpnDroppedUnsupportedRouteType",
    "prefixBgpLsDroppedReceptionUnsupported",
    "outDropV4LocalAddr",
    "outDropV6LocalAddr",
    "prefixVpnIpv4DroppedImportMatchFailure",
    "prefixVpnIpv6DroppedImportMatchFailure",
    "prefixEvpnDroppedImportMatchFailure",
    "prefixRtMembershipDroppedLocalAsReject",
)
_FLAGS = (
    "nexthopLuOriginateIpv4Uni",
    "thirdPartyNexthopLuOriginateIpv4Uni",
    "nexthopLuOriginateLfibBackupIpForwardIpv4Uni",
    "nexthopLuOriginateIpv6Uni",
    "thirdPartyNexthopLuOriginateIpv6Uni",
    "nexthopLuOriginateLfibBackupIpForwardIpv6Uni",
    "aigpSessionIpv4Uni",
    "aigpSessionIpv4LabeledUni",
    "aigpSessionIpv6Uni",
    "aigpSessionIpv6LabeledUni",
    "fwdFailoverTriggerSessionIpv4Uni",
    "fwdFailoverTriggerSessionIpv6Uni",
)


def neighbor(peer: EosPeer, router_id: str) -> Json:
    """Return the entry of `peer` on a VRF with `router_id`; establishedTime is UPTIME_MARK."""
    up = peer.state == "Established"
    internal = peer.asn == LOCAL_ASN
    shown: Json = {
        "peerAddress": peer.address,
        "asn": str(peer.asn),
        "linkType": "internal" if internal else "external",
        "routerId": peer.address if up else "0.0.0.0",
        "vrf": peer.vrf,
        "version": 4,
        "negotiatedVersion": 4,
        "updateGroupIndex": 1 if up else -1,
        "lastRcvd": 1,
        "lastSent": 1,
        # DoubleZero's template sets `timers 1 3` on users.
        "holdTime": (180 if internal else 3) if up else 0,
        "keepaliveTime": (60 if internal else 1) if up else 0,
        "configHoldTime": 180 if internal else 3,
        "configKeepaliveTime": 60 if internal else 1,
        "minHoldTime": 3,
        "configMinHoldTime": 3,
        "state": peer.state,
        "establishedTransitions": peer.transitions,
        "lastState": "OpenConfirm" if up else "Idle",
        "lastEvent": "RecvKeepAlive" if up else "Start",
        "neighborCapabilities": _capabilities(received=up),
        "endOfRibs": {"incoming": {}},
        "outMessageStats": _messages(40_000 if up else 0),
        "inMessageStats": _messages(39_000 if up else 0),
        "sentMessages": 40_003 if up else 0,
        "receivedMessages": 39_003 if up else 0,
        "prefixesSent": 412 if up else 0,
        "prefixesReceived": 1 if up else 0,
        "v4BestPaths": 1 if up else 0,
        "v4BestEcmpPaths": 0,
        "v6PrefixesSent": 0,
        "v6PrefixesReceived": 0,
        "v6BestPaths": 0,
        "v6BestEcmpPaths": 0,
        "totalRoutesWarnLimit": 0,
        "maxTotalRoutes": 0 if internal else 1,
        "dropStats": dict.fromkeys(_DROPS, 0),
        "peerInUpdateErrors": {
            "inUpdErrWithdraw": 0,
            "inUpdErrIgnore": 0,
            "inUpdErrDisableAfiSafi": 0,
            "disabledAfiSafi": "None",
            "lastUpdErrTime": 0,
        },
        "bgpSoftReconfigInbound": "Default",
        "rpkiOriginValidationMethod": "disabled",
        "rpkiOriginValidationSendExtComm": False,
        "rpkiOriginValidationRouteMap": "",
        "orrPosition": {},
        "localAsn": str(LOCAL_ASN),
        "localRouterId": router_id,
        "ttl": 255 if internal else 1,
        "maxTtlHops": 255,
        "localPort": 179 if up else 0,
        "remotePort": 40_123 if up else 179,
        "prependOwnDisabled": False,
        **dict.fromkeys(_FLAGS, False),
    }
    if up:
        shown["establishedTime"] = UPTIME_MARK
    if peer.state == "Idle":
        shown["idleReason"] = peer.idle_reason or "No path to peer"
    if peer.description:
        shown["description"] = peer.description
    if peer.interface:
        shown["ifName"] = peer.interface
    tcp = _tcp(peer)
    if tcp is not None:
        shown["peerTcpInfo"] = tcp
    return shown


def _tcp(peer: EosPeer) -> Json | None:
    # In OpenSent and OpenConfirm the TCP connection is there already: an RTT alone proves no session.
    if peer.state not in {"Established", "OpenSent", "OpenConfirm"}:
        return {}
    if peer.rtt_us is None:
        return None
    return {
        "state": "ESTABLISHED",
        "options": 7,
        "sendWindowScale": 7,
        "rcvWindowScale": 7,
        "retransTimeout": 204_000 + peer.rtt_us,
        "delayedAckTimeout": 40_000,
        "maxSegmentSize": 1_428,
        "sndRtt": peer.rtt_us,
        "sndRttVariance": peer.rtt_us // 8,
        "slowStartThreshold": 2_147_483_647,
        "congestionWindow": 10,
        "rcvRtt": 0,
        "rcvWindow": 14_600,
        "totalRetrans": 0,
        "outputQueueLength": 0,
        "outputMaxQueueLength": 87_040,
        "inputQueueLength": 0,
        "inputMaxQueueLength": 32_768,
        "connectionOptions": {
            "timestampsEnabled": True,
            "selectiveAcknowledgementsEnabled": True,
            "windowScaleEnabled": True,
            "ecnEnabled": False,
        },
    }


def _capabilities(*, received: bool) -> Json:
    one = {"advertised": True, "received": received, "enabled": received}
    return {
        "negotiationDisabled": False,
        "unsupportedCapReceived": False,
        "multiprotocolCaps": {"ipv4Unicast": one},
        "fourOctetAsnCap": one,
        "routeRefreshCap": one,
        "enhancedRouteRefreshCap": one,
        "sendEorMessages": one,
        "addPathsCaps": {
            "ipv4Unicast": {
                "receivingAddPaths": {
                    "receiveCapabilityAdvertised": True,
                    "sendCapabilityReceived": False,
                    "enabled": False,
                }
            }
        },
    }


def _messages(keepalives: int) -> Json:
    some = 1 if keepalives else 0
    return {
        "opens": some,
        "notifications": 0,
        "updates": 2 * some,
        "keepalives": keepalives,
        "rtRefreshes": 0,
        "beginOfRtRefreshes": 0,
        "endOfRtRefreshes": 0,
    }
