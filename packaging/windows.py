#!/usr/bin/env python3
"""Packages for Windows: windows.py zip PROGRAM, then windows.py winget.

The environment, which packaging/build sets, names version, out, url, windows_target, features, suffix and SOURCE_DATE_EPOCH.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import time
import zipfile

IDENTIFIER = "rdpscope.rdpscope"
MANIFEST_VERSION = "1.6.0"
DESCRIPTION = "See why a Remote Desktop connection fails: a byte-exact diagnostic proxy that names every phase"


def archive_name():
    return f"rdpscope-{os.environ['version']}{os.environ['suffix']}-{os.environ['windows_target']}.zip"


def folder_name():
    """The one folder in the zip."""
    return f"rdpscope-{os.environ['version']}"


def make_zip(program):
    out = pathlib.Path(os.environ["out"])
    parts = out / "windows-parts"
    command = [sys.executable, "packaging/parts.py", "--out", str(parts), "--target", os.environ["windows_target"]]
    subprocess.run(command, check=True)
    files = {"rdpscope.exe": program, "README.md": "README.md", "CHANGELOG.md": "CHANGELOG.md"}
    files |= {name: name for name in ("LICENSE-MIT", "LICENSE-APACHE")}
    files |= {name: parts / name for name in ("THIRD-PARTY-LICENCES.txt", "rdpscope.cdx.json")}
    when = time.gmtime(max(int(os.environ["SOURCE_DATE_EPOCH"]), 315532800))[:6]
    target = out / archive_name()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, source in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{folder_name()}/{name}", when)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, pathlib.Path(source).read_bytes())
    print(f"wrote {target}", file=sys.stderr)


def manifests(checksum):
    """The three files of a manifest, by the ends of their names."""
    version = os.environ["version"]
    head = lambda kind: (
        f"# yaml-language-server: $schema=https://aka.ms/winget-manifest.{kind}.{MANIFEST_VERSION}.schema.json\n"
        f"PackageIdentifier: {IDENTIFIER}\nPackageVersion: {version}\n"
    )
    tail = lambda kind: f"ManifestType: {kind}\nManifestVersion: {MANIFEST_VERSION}\n"
    nested = f"{folder_name()}\\rdpscope.exe"
    return {
        "": head("version") + "DefaultLocale: en-US\n" + tail("version"),
        ".installer": head("installer")
        + "InstallerType: zip\n"
        + "NestedInstallerType: portable\n"
        + f"NestedInstallerFiles:\n- RelativeFilePath: {nested}\n  PortableCommandAlias: rdpscope\n"
        + "Commands:\n- rdpscope\n"
        + f"Installers:\n- Architecture: x64\n  InstallerUrl: {os.environ['url']}\n  InstallerSha256: {checksum}\n"
        + tail("installer"),
        ".locale.en-US": head("defaultLocale")
        + "PackageLocale: en-US\nPublisher: The rdpscope founders\nPackageName: rdpscope\n"
        + f"License: MIT OR Apache-2.0\nShortDescription: '{DESCRIPTION}'\nMoniker: rdpscope\n"
        + "Tags:\n- diagnostics\n- proxy\n- rdp\n- remote-desktop\n- tls\n"
        + tail("defaultLocale"),
    }


def make_winget():
    out = pathlib.Path(os.environ["out"])
    archive = out / archive_name()
    if not archive.is_file():
        sys.exit(f"packaging/build: there is no {archive}: build the zip first")
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest().upper()
    folder = out / "winget" / os.environ["version"]
    folder.mkdir(parents=True, exist_ok=True)
    for end, text in manifests(checksum).items():
        (folder / f"{IDENTIFIER}{end}.yaml").write_text(text)
    print(f"wrote {folder}", file=sys.stderr)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["zip", program]:
            make_zip(program)
        case ["winget"]:
            make_winget()
        case _:
            sys.exit(__doc__)
