"""Sparkplug B messages in the order of their acceptance to JSON text, with the names that the births of their edge nodes gave.

A node is {"is_born", "seq", "aliases": {alias: [name, datatype]}, "devices": [device]}; is_lost is true where a birth or a message of it is
missing (section 5.4 of Eclipse Sparkplug 3.0.0). A document is {"sparkplug": type, "device", "devices": who is born or dies, "samples":
[{"ts": ms, "values": {name: value}}]}, null for what is no Sparkplug B payload; that of a birth has {"metadata": {"metrics": {name:
{"unit", "name", "description"}}}} too, where properties of metrics say so.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import json
import re
from typing import Any

from plpython.json_text import MAX_BYTES, string
from plpython.sparkplug_wire import Payload, payload, texts, value_text

# What the specification keeps for itself among a node's metrics.
OURS = re.compile(r'"(Node Control/|Device Control/|bdSeq"$)').match
# Names of properties are anyone's own: these are those of Ignition, which the specification takes over, and the usual ones of others.
SAID = {
    '"engUnit"': "unit", '"engUnits"': "unit", '"unit"': "unit", '"units"': "unit",
    '"displayName"': "name", '"label"': "name", '"documentation"': "description", '"description"': "description",
}  # fmt: skip
# Of the 64 KiB of metadata that a device may have.
MAX_METADATA = 49152
MAX_TEXT = 302
# A node's aliases are read with each of its messages, and each of them may stand for a name as long as a payload: both are bounded. A rule
# takes 1,000 samples of a death, that of the node itself included.
MAX_NAMES = 1 << 19
PER_ALIAS = 32
MAX_DEVICES = 999
MAX_DEVICES_TEXT = 1 << 16
LEAST_GROWTH = 1 << 15
MAX_GROWTH = 32
Node = dict[str, Any]


def _room(aliases: dict[str, list[Any]]) -> int:
    """How many characters of names a node may still have."""
    return MAX_NAMES - sum([len(name) + PER_ALIAS for name, _ in aliases.values()])


def _name(node: Node, read: Payload) -> None:
    """Take down what the aliases of a birth stand for; what there is no room for stands for nothing."""
    aliases = node["aliases"]
    room = _room(aliases)
    for m in read.metrics:
        if m.alias is None or m.name is None:
            continue
        alias, name = str(m.alias), json.loads(m.name)
        before = aliases.pop(alias, None)
        room += (len(before[0]) + PER_ALIAS if before else 0) - len(name) - PER_ALIAS
        if room < 0:
            room += len(name) + PER_ALIAS
        else:
            aliases[alias] = [name, m.datatype]


def _bear(node: Node, device: str) -> None:
    """Take down a device of a node, unless there are too many."""
    devices = [d for d in node["devices"] if d != device]
    if len(devices) < MAX_DEVICES and sum(map(len, devices)) + len(device) <= MAX_DEVICES_TEXT:
        devices.append(device)
    node["devices"] = devices


def _is_unknown(node: Node, read: Payload) -> bool:
    """Whether a birth would tell what an alias stands for, which it would not where the node has no room left."""
    aliases = node["aliases"]
    return any(m.name is None and m.alias is not None and str(m.alias) not in aliases for m in read.metrics) and _room(aliases) > MAX_TEXT


def step(node: Node, kind: str, device: str, read: Payload) -> None:
    """Take down what a message says of its node: births, deaths, and whether one is missing."""
    if kind == "NDEATH":
        node["is_born"] = False
        return
    if kind in ("NBIRTH", "DBIRTH"):
        if kind == "NBIRTH":
            node.update({"aliases": {}, "devices": []})
        else:
            _bear(node, device)
        _name(node, read)
    seq = read.seq if read.seq is not None and read.seq < 256 else None
    if kind == "NBIRTH":
        node["is_born"] = True
    elif not node["is_born"] or node["seq"] is None or (node["seq"] + 1) % 256 != seq or _is_unknown(node, read):
        node["is_lost"] = True
    if seq is not None:
        node["seq"] = seq


def metadata(read: Payload) -> str:
    """Write what a birth says of its metrics, as a member of the document; empty where that is nothing. What does not fit is left out."""
    parts: dict[str, str] = {}
    size = 0
    for m in read.metrics:
        if m.name is None or not m.properties or OURS(m.name):
            continue
        said: dict[str, str] = {}
        for name, text in texts(m.properties).items():
            if name in SAID and 2 < len(text) <= MAX_TEXT:
                said.setdefault(SAID[name], text)
        if said:
            part = ",".join([f'"{name}":{text}' for name, text in said.items()])
            size += len(f"{m.name}{part}".encode())
            if size <= MAX_METADATA:
                parts[m.name] = f"{{{part}}}"
    return f',"metadata":{{"metrics":{{{",".join([f"{name}:{part}" for name, part in parts.items()])}}}}}' if parts else ""


def document(node: Node, kind: str, device: str, read: Payload, most: int) -> str:
    """Write a message as payload rules read it; ValueError where its samples become longer than most."""
    size = 0
    samples: dict[int | None, dict[str, str]] = {}
    for m in read.metrics:
        name, datatype = m.name, m.datatype
        known = node["aliases"].get(str(m.alias)) if name is None or not datatype else None
        if known is not None:
            name, datatype = name or string(known[0]), datatype or known[1]
        if name is not None and m.number and not OURS(name):
            text = value_text(m.number, m.value, datatype)
            if text:
                size += len(name) + len(text)
                if size > most:
                    raise ValueError(f"more than {most} bytes as JSON")
                samples.setdefault(read.timestamp if m.timestamp is None else m.timestamp, {})[name] = text
    # With an edge node its devices die.
    devices = [device, *node["devices"]] if kind == "NDEATH" else [device]
    parts = []
    for ts in sorted(samples, key=lambda x: (x is None, x or 0)):
        values = ",".join([f"{name}:{text}" for name, text in samples[ts].items()])
        parts.append(f'{{"ts":{"null" if ts is None else ts},"values":{{{values}}}}}')
    more = metadata(read) if kind in ("NBIRTH", "DBIRTH") else ""
    return f'{{"sparkplug":"{kind}","device":{string(device)},"devices":{json.dumps(devices)},"samples":[{",".join(parts)}]{more}}}'


def run(kinds: list[str], nodes: list[str], devices: list[str], bodies: list[bytes], states: str) -> str:
    """Decode Sparkplug B messages into JSON

    kinds: NBIRTH, DDATA, …; nodes: any names of the edge nodes, devices: the external ids; states: nodes by name. Returns
    {"documents": […], "states": {name: node}}. The head of the body states the mapping.
    """
    known: dict[str, Node] = json.loads(states)
    documents = []
    for kind, name, device, body in zip(kinds, nodes, devices, bodies):  # noqa: B905  # strict is newer than the oldest Python
        most = min(MAX_BYTES, LEAST_GROWTH + MAX_GROWTH * len(body))
        try:
            read = payload(body)
            node = known.setdefault(name, {"is_born": False, "seq": None, "aliases": {}, "devices": []})
            step(node, kind, device, read)
            documents.append(document(node, kind, device, read, most))
        except ValueError:
            documents.append("null")
    return f'{{"documents":[{",".join(documents)}],"states":{json.dumps(known)}}}'
