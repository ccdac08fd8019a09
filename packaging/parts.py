#!/usr/bin/env python3
"""What the program is made of: a parts list in CycloneDX 1.5 and the licences of its third parties.

parts.py --out DIR [--target TRIPLE] writes rdpscope.cdx.json and THIRD-PARTY-LICENCES.txt there. It reads Cargo's own
metadata and Cargo.lock, and the licence files of the crates as they were fetched. Tests and build tools are not parts.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import uuid

LICENCE_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT")
PROGRAM = "rdpscope"
# The features besides the usual ones, as packaging/build names them.
FEATURES = os.environ.get("features", "").split()
# So that the same parts have the same serial number.
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def metadata(target):
    """Cargo's metadata as the released program is built."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    command += ["--features", ",".join(f"rdpscope/{it}" for it in FEATURES)] if FEATURES else []
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def host():
    """The triple of this machine."""
    told = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.split(" ")[1] for line in told.splitlines() if line.startswith("host: "))


def names_linked(target):
    """Name and version of every package that is linked: features that only tests ask for are none of the program's."""
    tree = lambda edges: subprocess.run(
        ["cargo", "tree", "--locked", "--package", PROGRAM, "--features", ",".join(FEATURES), "--target", target]
        + ["--edges", edges, "--prefix", "none", "--format", "{p}"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    # A crate such as openssl-src is a build dependency whose code is linked.
    with_sources = {line for line in tree("normal,build,no-proc-macro") if line.split(" ")[0].endswith("-src")}
    words = (line.split(" ") for line in set(tree("normal,no-proc-macro")) | with_sources)
    return {(name, version.removeprefix("v")) for name, version, *_ in words}


def linked(known, target):
    """What is linked into the program: packages by id, and what each needs."""
    names = names_linked(target)
    packages = {it["id"]: it for it in known["packages"] if (it["name"], it["version"]) in names}
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    program = next(id for id, package in packages.items() if package["name"] == PROGRAM)
    is_built = lambda dep: any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
    needs = {id: [dep["pkg"] for dep in nodes[id]["deps"] if dep["pkg"] in packages and is_built(dep)] for id in packages}
    return program, packages, needs


def checksums():
    """SHA-256 of what was fetched, by name and version."""
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())
    return {(it["name"], it["version"]): it["checksum"] for it in lock["package"] if "checksum" in it}


def reference(package):
    """The name of a package in every such list (purl)."""
    return f"pkg:cargo/{package['name']}@{package['version']}"


def expression(package):
    """The licence as SPDX writes it; old manifests have a slash for OR."""
    return (package["license"] or "NOASSERTION").replace("/", " OR ")


def component(package, sums):
    entry = {
        "type": "application" if package["name"] == PROGRAM else "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        "licenses": [{"expression": expression(package)}],
    }
    if package["description"]:
        entry["description"] = " ".join(package["description"].split())
    if checksum := sums.get((package["name"], package["version"])):
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def parts_list(program, packages, needs):
    sums = checksums()
    others = sorted((it for id, it in packages.items() if id != program), key=reference)
    components = [component(package, sums) for package in others]
    dependencies = [
        {"ref": reference(packages[id]), "dependsOn": sorted(reference(packages[need]) for need in needs[id])}
        for id in sorted(packages, key=lambda id: reference(packages[id]))
    ]
    when = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    serial = uuid.uuid5(NAMESPACE, json.dumps([components, dependencies], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[program], sums),
        },
        "components": components,
        "dependencies": dependencies,
    }


def licence_texts(package):
    """The licence files of a crate, in the order of their names."""
    folder = pathlib.Path(package["manifest_path"]).parent
    # What is carried along as source has a licence of its own.
    folders = [it for it in (folder, folder / "openssl") if it.is_dir()]
    files = [it for at in folders for it in sorted(at.iterdir()) if it.is_file()]
    files = [it for it in files if it.name.upper().startswith(LICENCE_NAMES)]
    return [(it.name, it.read_text(errors="replace").strip()) for it in files]


def licences(program, packages):
    """Every third party with its licence, and each text once."""
    ours = pathlib.Path.cwd().resolve()
    others = [it for it in packages.values() if ours not in pathlib.Path(it["manifest_path"]).resolve().parents]
    texts, lines = {}, []
    for package in sorted(others, key=reference):
        names = []
        for _, text in licence_texts(package):
            names.append(texts.setdefault(text, len(texts) + 1))
        told = ", ".join(f"text {number}" for number in sorted(set(names))) or "no text in its package; as in LICENSE-MIT or LICENSE-APACHE of rdpscope"
        lines.append(f"{package['name']} {package['version']}: {expression(package)} ({told})")
        if package["authors"]:
            lines.append(f"    by {', '.join(package['authors'])}")
    head = [
        "rdpscope contains the following third parties. What each is licensed under stands behind its name, the texts",
        "below. The standard library of Rust, which is linked too, is under MIT OR Apache-2.0.",
        "",
    ]
    bodies = [f"\n{'=' * 100}\ntext {number}\n{'=' * 100}\n{text}" for text, number in texts.items()]
    return "\n".join(head + lines + bodies) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--target", default=None, help="the system to build for; this machine's without it")
    arguments = parser.parse_args()
    target = arguments.target or host()
    program, packages, needs = linked(metadata(target), target)
    arguments.out.mkdir(parents=True, exist_ok=True)
    listed = json.dumps(parts_list(program, packages, needs), indent=2, ensure_ascii=False) + "\n"
    (arguments.out / "rdpscope.cdx.json").write_text(listed)
    (arguments.out / "THIRD-PARTY-LICENCES.txt").write_text(licences(program, packages))
    print(f"wrote {arguments.out}/rdpscope.cdx.json and THIRD-PARTY-LICENCES.txt: {len(packages)} parts", file=sys.stderr)


if __name__ == "__main__":
    main()
