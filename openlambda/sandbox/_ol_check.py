# SPDX-License-Identifier: Apache-2.0
"""Whether the image has what requirements.txt and ol-install ask for.

Nothing is installed when a function is called. With the module packaging in
the image every form of a requirement is understood, without it NAME and
NAME==VERSION.
"""
import importlib.metadata
import os
import re
import sys

try:
    from packaging.requirements import InvalidRequirement, Requirement
except ImportError:
    Requirement = None


def normal(name):
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed():
    out = {}
    for d in importlib.metadata.distributions(path=sys.path + ["/packages"]):
        name = d.metadata["Name"]
        if name:
            out.setdefault(normal(name), d.version)
    return out


def lines(text):
    """(number, requirement) of each line; comments, hashes and options about
    where packages come from say nothing about which."""
    text = re.sub(r"\\\n", " ", text)
    for number, line in enumerate(text.split("\n"), 1):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        line = re.sub(r"\s--hash=\S+", "", line).strip()
        if not line or line.startswith("-") and not line.startswith(("-r", "--requirement", "-e", "--editable")):
            continue
        yield number, line


def unmet(line, have):
    """Why a requirement is not met; "" if it is."""
    if Requirement is not None:
        try:
            want = Requirement(line)
        except InvalidRequirement:
            return "%s: this form is not understood; want NAME==VERSION" % line
        if want.marker is not None and not want.marker.evaluate():
            return ""
        name, ok = want.name, want.url is None and (lambda version: want.specifier.contains(version, prereleases=True))
    else:
        m = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==\s*([^\s;]+))?", line)
        if not m:
            return "%s: this image can only be asked for NAME==VERSION (it lacks python3-packaging)" % line
        name, exact = m.groups()
        ok = lambda version: exact is None or version == exact
    if not ok:
        return "%s: packages from an address cannot be checked; build them into the image" % line
    version = have.get(normal(name))
    if version is None:
        return "%s: the image has no %s" % (line, name)
    if not ok(version):
        return "%s: the image has %s %s" % (line, name, version)
    return ""


def check(handler, install):
    """What is missing and how it gets into the image; "" if nothing is. install is
    a list with commas."""
    asked = [("ol-install", line) for line in re.split(r"[,\s]+", install) if line]
    try:
        with open(os.path.join(handler, "requirements.txt"), encoding="utf-8-sig", errors="replace") as f:
            asked += [("requirements.txt:%d" % number, line) for number, line in lines(f.read())]
    except FileNotFoundError:
        pass
    if not asked:
        return ""
    have = installed()
    missing = []
    for where, line in asked:
        why = unmet(line, have)
        if why:
            missing.append((where, why, normal(re.split(r"[^A-Za-z0-9._-]", line)[0])))
    if not missing:
        return ""
    names = ",".join(dict.fromkeys("python3-" + name for _, _, name in missing if name))
    return ("; ".join("%s: %s" % (where, why) for where, why, _ in missing[:20]) +
            ". Nothing is installed when a function is called: build an image that has them"
            " (go run mage.go openlambda:build -packages=%s, or -wheels=FOLDER) and load it,"
            " or ask for what the image has" % names)
