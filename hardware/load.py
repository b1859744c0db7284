"""From a name in the catalogue, or a TOML file, to the struct. A path is whatever ends in .toml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..base import BadInput, Spec, unknown
from ..base.spec import build, load_toml
from .device import AnyDevice, Cpu, Fpga, Gpu, Pim
from .dram import MOST_CYCLES, DramConfig, DramTiming, Standard
from .link import Link
from .local import local_cpu
from .system import System

CATALOGUE = Path(__file__).parent / "catalogue"
DEVICES: dict[str, type[Gpu] | type[Pim] | type[Fpga] | type[Cpu]] = {
    "gpu": Gpu,
    "pim": Pim,
    "fpga": Fpga,
    "cpu": Cpu,
}
KINDS = (*DEVICES, "link", "system", "dram")
MOST_DEVICES = 4096


def names(kind: str = "device") -> list[str]:
    """The catalogue's names of a kind: one of `KINDS`, or 'device' for every kind of device.

    'local', this machine, stands among the CPUs and has no file.
    """
    if kind == "device":
        return sorted(name for device_kind in DEVICES for name in names(device_kind))
    if kind not in KINDS:
        raise unknown("kind of hardware", kind, [*KINDS, "device"], key="kind")
    return sorted([*_files(kind), *(["local"] if kind == "cpu" else [])])


def device(name_or_path: str | Path) -> AnyDevice:
    """The device of that name, or in that file; 'local' is this machine, probed once."""
    if _key(name_or_path) == "local":
        return local_cpu()
    return _device(_file(name_or_path, "device", tuple(DEVICES)))


def link(name_or_path: str | Path) -> Link:
    """The link of that name, or in that file."""
    path = _file(name_or_path, "link", ("link",))
    return build(Link, load_toml(path), path)


def system(name_or_path: str | Path) -> System:
    """The system of that name, or in that file; a device alone is a system of one."""
    if _key(name_or_path) == "local":
        return _alone(local_cpu())
    path = _file(name_or_path, "system or device", ("system", *DEVICES))
    data = load_toml(path)
    if "kind" in data:
        return _alone(_device(path))
    data = _parts(data, path)
    return build(System, data, path)


def dram_names() -> list[str]:
    """The catalogue's DRAM configs."""
    return names("dram")


def dram_config(name_or_path: str | Path) -> DramConfig:
    """The DRAM config of that name, or in that file."""
    path = _file(name_or_path, "DRAM config", ("dram",))
    data = load_toml(path)
    if isinstance(data.get("timing"), str):
        data["timing"] = _named(dram_timing, data["timing"], path, "timing")
    return build(DramConfig, data, path)


def dram_timing(name_or_path: str | Path) -> DramTiming:
    """The timing set of that name, or in that file."""
    path = _file(name_or_path, "DRAM timing set", ("dram/timing",))
    data = load_toml(path)
    if isinstance(data.get("standard"), str):
        data["standard"] = _named(dram_standard, data["standard"], path, "standard")
    _check_cycles(data.get("cycles"), path)
    timing = build(DramTiming, data, path)
    parts = {"cycles": timing.cycles, "organisation": timing.organisation.__struct_fields__}
    return msgspec.structs.replace(timing, sources=_spread(timing.sources, parts))


def dram_standard(name_or_path: str | Path) -> Standard:
    """The DRAM standard of that name, or in that file, with the rules of its rule sets."""
    path = _file(name_or_path, "DRAM standard", ("dram/standard",))
    data = load_toml(path)
    rules = data.get("rules", [])
    for i, name in enumerate(_strings(data.pop("rule_sets", []), path, "rule_sets")):
        try:
            shared = load_toml(_file(name, "set of DRAM rules", ("dram/rules",))).get("rules")
        except BadInput as fault:
            raise BadInput(fault.what, file=path, key=f"rule_sets[{i}]", value=name) from None
        rules = [*shared, *rules] if isinstance(shared, list) and isinstance(rules, list) else rules
    standard = build(Standard, {**data, "rules": rules}, path)
    sources = _spread(standard.sources, {"bus_cycles": standard.bus_cycles})
    return msgspec.structs.replace(standard, sources=sources)


def _check_cycles(cycles: Any, path: Path) -> None:
    """Names the timing at fault, which the check of the struct does not."""
    for name, count in cycles.items() if isinstance(cycles, dict) else ():
        plain = count.get("value") if isinstance(count, dict) else count
        if type(plain) is not int or not 0 <= plain <= MOST_CYCLES:
            raise BadInput(
                f"must be a whole number of cycles up to {MOST_CYCLES}",
                file=path,
                key=f"cycles.{name}",
                value=count,
            )


def _strings(node: Any, path: Path, key: str) -> list[str]:
    if not isinstance(node, list) or not all(isinstance(item, str) for item in node):
        raise BadInput("must be a list of names", file=path, key=key, value=node)
    return node


def _spread(sources: dict[str, str], parts: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Sources, with those of a part as a whole also at each of its figures."""
    each = {
        f"{part}.{name}": sources[part]
        for part, figures in parts.items()
        if part in sources
        for name in figures
    }
    return each | sources


def _alone(one: AnyDevice) -> System:
    return System(name=one.name, devices=(one,))


def _gpu(name_or_path: str | Path) -> Gpu:
    path = _file(name_or_path, "GPU", ("gpu",))
    return build(Gpu, load_toml(path), path)


def _cpu(name_or_path: str | Path) -> Cpu:
    if _key(name_or_path) == "local":
        return local_cpu()
    path = _file(name_or_path, "CPU", ("cpu",))
    return build(Cpu, load_toml(path), path)


def _device(path: Path) -> AnyDevice:
    data = load_toml(path)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in DEVICES:
        raise BadInput(f"must be one of {', '.join(DEVICES)}", file=path, key="kind", value=kind)
    if isinstance(data.get("host"), str):
        data["host"] = _named(_gpu, data["host"], path, "host")
    return build(DEVICES[kind], data, path)


def _parts(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The tables of a system with every named part replaced by what the name stands for."""
    data = dict(data)
    if isinstance(data.get("devices"), list):
        data["sources"] = _count_sources(data)
        devices: list[Any] = []
        for i, entry in enumerate(data["devices"]):
            devices += _copies(entry, path, i)
            if len(devices) > MOST_DEVICES:
                raise BadInput(f"may hold at most {MOST_DEVICES} devices", file=path, key="devices")
        data["devices"] = devices
    if isinstance(data.get("tiers"), list):
        data["tiers"] = [
            {**tier, "link": _named(link, tier["link"], path, f"tiers[{i}].link")}
            if isinstance(tier, dict) and isinstance(tier.get("link"), str)
            else tier
            for i, tier in enumerate(data["tiers"])
        ]
    if isinstance(data.get("host"), str):
        data["host"] = _named(_cpu, data["host"], path, "host")
    if isinstance(data.get("host_link"), str):
        data["host_link"] = _named(link, data["host_link"], path, "host_link")
    return data


def _copies(entry: Any, path: Path, place: int) -> list[Any]:
    """`{ device = "h100-sxm", count = 8 }` as eight devices; a device written out is itself."""
    if not isinstance(entry, dict) or "device" not in entry:
        return [entry]
    where = f"devices[{place}]"
    extra = entry.keys() - {"device", "count"}
    if extra:
        raise BadInput("may hold device and count only", file=path, key=f"{where}.{min(extra)}")
    count = entry.get("count", 1)
    if isinstance(count, dict):
        count = count.get("value")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_DEVICES:
        raise BadInput(
            f"must be a whole number from 1 to {MOST_DEVICES}",
            file=path,
            key=f"{where}.count",
            value=count,
        )
    if not isinstance(entry["device"], str):
        raise BadInput("must be a name or a .toml file", file=path, key=f"{where}.device")
    return [_named(device, entry["device"], path, f"{where}.device")] * count


def _count_sources(data: dict[str, Any]) -> Any:
    """The file's own sources and those of its device counts, which the copies no longer show."""
    given = data.get("sources", {})
    counts = {
        f"devices[{i}].count": str(entry["count"]["source"])
        for i, entry in enumerate(data["devices"])
        if isinstance(entry, dict)
        and isinstance(entry.get("count"), dict)
        and entry["count"].keys() == {"value", "source"}
    }
    return {**given, **counts} if isinstance(given, dict) else given


def _named(load: Callable[[str | Path], Spec], name: str, file: Path, key: str) -> dict[str, Any]:
    """The part that `file` names under `key`, as plain tables; a path counts from its folder."""
    try:
        part = load(file.parent / name if name.endswith(".toml") else name)
    except BadInput as fault:
        if fault.file is not None:
            raise
        raise BadInput(fault.what, file=file, key=key, value=fault.value) from None
    tables = msgspec.to_builtins(part)
    assert isinstance(tables, dict)
    return tables


def _file(name_or_path: str | Path, what: str, kinds: tuple[str, ...]) -> Path:
    """The file of a catalogue name in the first of `kinds` that has it, or the path itself."""
    if str(name_or_path).endswith(".toml"):
        return Path(name_or_path)
    key = _key(name_or_path)
    for kind in kinds:
        for stem, path in _files(kind).items():
            if _key(stem) == key:
                return path
    raise unknown(what, str(name_or_path), [name for kind in kinds for name in _files(kind)])


def _files(kind: str) -> dict[str, Path]:
    return {path.stem: path for path in (CATALOGUE / kind).glob("*.toml")}


def _key(name: str | Path) -> str:
    """'H100_SXM' and 'h100-sxm' are one name."""
    return str(name).strip().lower().replace("_", "-").replace(" ", "-")
