"""Build the lab's onchain program: `python -m dzbgp.lab.solana.program.build`.

clang compiles the C source to a BPF object; the linking is done here, because no linker of a usual
distribution writes what Solana's loader takes: an ELF of SBPF version 3. The same source and the same clang
give the same bytes.

Sources: the ELF and BPF psABI for the relocations; SIMD-0189 for the layout of an SBPF version 3 file.
"""

import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "bgp_status.c"
OUTPUT = HERE / "bgp_status.so"

CLANG_FLAGS = [
    *("-target", "bpf"),
    "-mcpu=v2",  # version 3's 32-bit arithmetic is not that of this machine: it sign-extends
    "-O2",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-jump-tables",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    *("-Wall", "-Wextra", "-Werror"),
]


EHDR, PHDR = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
SHDR, SYM, REL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QQ")
ET_DYN, EM_BPF, SBPF_V3 = 3, 247, 3
PT_LOAD, PF_X, PF_R = 1, 1, 4
SHT_SYMTAB, SHT_REL, SHF_ALLOC, SHF_EXECINSTR = 2, 9, 2, 4
R_BPF_64_64, R_BPF_64_32 = 1, 10
CODE_VADDR = 1 << 32
CALL_LOCAL, CALL_SYSCALL = 0x10, 0x00  # the second byte of a call: its source register in the upper half
WORD = 8  # bytes in an instruction


@dataclass(frozen=True, slots=True)
class ElfSection:
    """A section of the object file that clang wrote."""

    name: str
    kind: int
    flags: int
    data: bytes
    link: int
    info: int


def murmur3_32(data: bytes) -> int:
    """Return the 32-bit Murmur3 hash with seed 0: how a syscall's name becomes the number in the call."""
    mask, value = 0xFFFFFFFF, 0
    padded = data + bytes(-len(data) % 4)
    for start in range(0, len(padded), 4):
        block = int.from_bytes(padded[start : start + 4], "little") * 0xCC9E2D51 & mask
        block = (block << 15 | block >> 17) & mask
        value ^= block * 0x1B873593 & mask
        if start + 4 <= len(data):
            value = ((value << 13 | value >> 19) & mask) * 5 + 0xE6546B64 & mask
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & mask
    value = (value ^ value >> 13) * 0xC2B2AE35 & mask
    return value ^ value >> 16


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(0, at)].decode()


def read_sections(obj: bytes) -> list[ElfSection]:
    """Return the sections of an ELF64 object file."""
    header = EHDR.unpack_from(obj)
    offset, count, names_at = header[6], header[12], header[13]
    rows = [SHDR.unpack_from(obj, offset + SHDR.size * i) for i in range(count)]
    names = obj[rows[names_at][4] :]
    return [ElfSection(_text(names, r[0]), r[1], r[2], obj[r[4] : r[4] + r[5]], r[6], r[7]) for r in rows]


def link(obj: bytes) -> bytes:
    """Link clang's object file to an SBPF version 3 file. Raises ValueError for what it has no rule for."""
    sections = read_sections(obj)
    code_at = next(i for i, s in enumerate(sections) if s.name == ".text")
    code, rodata, placed = bytearray(sections[code_at].data), bytearray(), {}
    for i, section in enumerate(sections):
        if section.flags & SHF_ALLOC and not section.flags & SHF_EXECINSTR and section.data:
            if not section.name.startswith(".rodata"):
                raise ValueError(f"section {section.name}: only read-only data can be linked")
            rodata += bytes(-len(rodata) % 16)
            placed[i] = len(rodata)
            rodata += section.data
    symtab = next(s for s in sections if s.kind == SHT_SYMTAB)
    symbols = [
        (_text(sections[symtab.link].data, row[0]), row[3], row[4]) for row in SYM.iter_unpack(symtab.data)
    ]
    for section in sections:
        if section.kind == SHT_REL and section.info == code_at:
            for at, info in REL.iter_unpack(section.data):
                _relocate(code, at, info & 0xFFFFFFFF, symbols[info >> 32], code_at, placed)
    start = next(value for name, where, value in symbols if name == "entrypoint" and where == code_at)
    return _write(bytes(code), bytes(rodata), start)


def _relocate(
    code: bytearray, at: int, kind: int, symbol: tuple[str, int, int], code_at: int, placed: dict[int, int]
) -> None:
    name, where, value = symbol
    (addend,) = struct.unpack_from("<i", code, at + 4)
    if kind == R_BPF_64_64 and where in placed:
        struct.pack_into("<I", code, at + 4, placed[where] + value + addend)
        struct.pack_into("<I", code, at + 12, 0)
    elif kind == R_BPF_64_32 and where == code_at:
        # For the section's own symbol the addend has the target, in instructions, less one.
        target = value // WORD if name else addend + 1
        code[at + 1] = CALL_LOCAL
        struct.pack_into("<i", code, at + 4, target - at // WORD - 1)
    elif kind == R_BPF_64_32 and where == 0:
        code[at + 1] = CALL_SYSCALL
        struct.pack_into("<I", code, at + 4, murmur3_32(name.encode()))
    else:
        raise ValueError(f"relocation of type {kind} at {at} to {name or 'a section'}: no rule for it")


def _write(code: bytes, rodata: bytes, start: int) -> bytes:
    segments = [(PF_R, 0, rodata)] if rodata else []
    segments.append((PF_X, CODE_VADDR, code))
    offset = EHDR.size + PHDR.size * len(segments)
    headers, body = b"", b""
    for flags, vaddr, data in segments:
        padded = data + bytes(-len(data) % 8)
        headers += PHDR.pack(PT_LOAD, flags, offset + len(body), vaddr, vaddr, len(padded), len(padded), 0)
        body += padded
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    numbers = (ET_DYN, EM_BPF, 1, CODE_VADDR + start, EHDR.size, 0, SBPF_V3)
    return EHDR.pack(ident, *numbers, EHDR.size, PHDR.size, len(segments), 0, 0, 0) + headers + body


def build(clang: str = "clang") -> bytes:
    """Compile and link the program.

    Raises OSError when clang is not there, CalledProcessError when it fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        obj = Path(directory) / "program.o"
        # The source is given by name alone: a path would end up in the object file.
        command = [clang, *CLANG_FLAGS, "-c", SOURCE.name, "-o", str(obj)]
        subprocess.run(command, cwd=HERE, check=True)  # noqa: S603 - our own command
        return link(obj.read_bytes())


if __name__ == "__main__":
    OUTPUT.write_bytes(build())
    sys.stdout.write(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes\n")
