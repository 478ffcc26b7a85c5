"""The transcoding engine: the same pixels, the same elements, or a refusal."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from consumers.sender.transcoding.transcoder import Transcoder
from shared.errors import DataSetError
from shared.spool.store import Store
from tests.consumers.bench import data_set, wheel, write
from tests.consumers.sender.compressed import (
    BIG_ENDIAN,
    DEFLATED,
    J2K,
    JPEG_LOSSLESS,
    JPEG_LS,
    LOSSLESS,
    NATIVE,
    RLE,
    broken,
    fragments_of,
    image,
    others,
    stored_as,
    transcoded_by,
)
from tests.peers import run_tool

Transcode = Callable[..., Dataset]
PIXEL_ELEMENTS = ("PixelData", "PhotometricInterpretation", "PlanarConfiguration")


@pytest.fixture(scope="module")
def transcoded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcode]:
    """Transcodes a file by a child process; without a target to Explicit VR Little Endian."""
    transcoder = Transcoder(Store(tmp_path_factory.mktemp("spool")))
    yield partial(transcoded_by, transcoder)
    transcoder.close()


@pytest.mark.parametrize("target", NATIVE, ids=["explicit", "implicit"])
@pytest.mark.parametrize("program", LOSSLESS, ids="-".join)
@pytest.mark.parametrize("name", ["MR_small.dcm", "CT_small.dcm"])
def test_a_lossless_image_has_the_pixels_and_the_elements_it_was_made_from(
    tmp_path: Path, transcoded: Transcode, name: str, program: tuple[str, ...], target: str
) -> None:
    source = stored_as(program, wheel(name), tmp_path / "source.dcm")
    known, ours = dcmread(wheel(name)), transcoded(source, target)
    assert ours.PixelData == known.PixelData
    assert ours.PhotometricInterpretation == known.PhotometricInterpretation
    assert ours.get("PlanarConfiguration") == known.get("PlanarConfiguration")
    if target == ExplicitVRLittleEndian:
        assert others(ours, *PIXEL_ELEMENTS) == others(dcmread(source), *PIXEL_ELEMENTS)
    assert ours.SOPInstanceUID == dcmread(source).SOPInstanceUID


@pytest.mark.parametrize("program", [RLE, JPEG_LOSSLESS, JPEG_LS, J2K], ids="-".join)
def test_each_frame_of_a_colour_multi_frame_comes_back_and_an_odd_length_is_padded_once(
    tmp_path: Path, transcoded: Transcode, program: tuple[str, ...]
) -> None:
    known = image(tmp_path / "known.dcm")
    ours = transcoded(stored_as(program, known, tmp_path / "source.dcm"))
    assert ours.PixelData == dcmread(known).PixelData
    assert (ours.PhotometricInterpretation, ours.PlanarConfiguration, ours.NumberOfFrames) == ("RGB", 0, 3)


def test_colour_by_plane_stays_by_plane(tmp_path: Path, transcoded: Transcode) -> None:
    known = image(tmp_path / "known.dcm", PlanarConfiguration=1)
    ours = transcoded(stored_as(RLE, known, tmp_path / "source.dcm"))
    assert (ours.PixelData, ours.PlanarConfiguration) == (dcmread(known).PixelData, 1)


def test_a_planar_configuration_that_was_left_out_is_added_in_its_place(tmp_path: Path, transcoded: Transcode) -> None:
    known = dcmread(stored_as(J2K, image(tmp_path / "known.dcm"), tmp_path / "j2k.dcm"))
    del known.PlanarConfiguration
    ours = transcoded(write(tmp_path / "source.dcm", known, JPEG2000Lossless))
    assert ours.PlanarConfiguration == 0
    assert [int(it.tag) for it in ours] == sorted(int(it.tag) for it in ours)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_jpeg_app14_dcmd.dcm",
        "SC_rgb_small_odd_jpeg.dcm",
    ],
)
def test_a_lossy_jpeg_becomes_what_dcmdjpeg_makes_of_it_without_changing_colours(
    tmp_path: Path, transcoded: Transcode, name: str
) -> None:
    oracle = stored_as(("dcmdjpeg", "--conv-never", "+px"), wheel(name), tmp_path / "oracle.dcm")
    known, ours = dcmread(oracle), transcoded(copied(wheel(name), tmp_path))
    for keyword in PIXEL_ELEMENTS:
        assert ours[keyword].value == known[keyword].value
    assert ours.get("LossyImageCompression") == dcmread(wheel(name)).get("LossyImageCompression")


@pytest.mark.parametrize(("name", "oracle"), [("SC_rgb_jls_lossy_line.dcm", "dcmdjpls"), ("SC_rgb_rle.dcm", "dcmdrle")])
def test_dcmtk_decodes_it_alike(tmp_path: Path, transcoded: Transcode, name: str, oracle: str) -> None:
    known = dcmread(stored_as((oracle,), wheel(name), tmp_path / "oracle.dcm"))
    ours = transcoded(copied(wheel(name), tmp_path))
    assert by_pixel(ours) == by_pixel(known)


def test_reversible_colours_of_jpeg_2000_become_rgb(tmp_path: Path, transcoded: Transcode) -> None:
    known = image(tmp_path / "known.dcm")
    source = stored_as(J2K, known, tmp_path / "source.dcm")
    ds = dcmread(source)
    ds.PhotometricInterpretation = "YBR_RCT"
    ours = transcoded(write(source, ds, JPEG2000Lossless), ImplicitVRLittleEndian)
    assert ours.PhotometricInterpretation == "RGB"
    assert ours.PixelData == dcmread(known).PixelData


def test_frames_in_several_fragments_are_told_apart_by_the_offset_table_or_by_their_beginnings(
    tmp_path: Path, transcoded: Transcode
) -> None:
    known = image(tmp_path / "known.dcm")
    whole = fragments_of(stored_as(JPEG_LOSSLESS, known, tmp_path / "jpeg.dcm"))
    halves = list(chain.from_iterable((it[:1000], it[1000:]) for it in whole))
    starts = [sum(8 + len(it) for it in halves[: 2 * n]) for n in range(3)]
    for number, offsets in enumerate((b"".join(it.to_bytes(4, "little") for it in starts), b"")):
        source = image(tmp_path / f"{number}.dcm", JPEGLosslessSV1, PixelData=items(offsets, *halves))
        assert transcoded(source).PixelData == dcmread(known).PixelData


def test_a_compressed_icon_is_decoded_with_its_own_attributes(tmp_path: Path, transcoded: Transcode) -> None:
    source = dcmread(stored_as(JPEG_LOSSLESS, image(tmp_path / "known.dcm"), tmp_path / "source.dcm"))
    icon = Dataset()
    small = dcmread(stored_as(JPEG_LOSSLESS, wheel("MR_small.dcm"), tmp_path / "small.dcm"))
    icon.update({it.tag: it for it in small if it.tag.group in (0x0028, 0x7FE0)})
    source.IconImageSequence = Sequence([icon])
    ours = transcoded(write(tmp_path / "icon.dcm", source, JPEGLosslessSV1))
    assert ours.IconImageSequence[0].PixelData == dcmread(wheel("MR_small.dcm")).PixelData
    assert ours.PixelData == dcmread(tmp_path / "known.dcm").PixelData


def test_a_repeat_gives_the_same_bytes(tmp_path: Path, transcoded: Transcode) -> None:
    source = stored_as(J2K, image(tmp_path / "known.dcm"), tmp_path / "source.dcm")
    transcoded(source)
    first = source.with_suffix(".out").read_bytes()
    transcoded(source)
    assert source.with_suffix(".out").read_bytes() == first


def test_nested_private_and_unknown_elements_survive_both_ways(tmp_path: Path, transcoded: Transcode) -> None:
    ds = data_set(1, PixelRepresentation=1, SmallestImagePixelValue=None)
    ds.add_new(0x00280106, "SS", -5)
    ds.ReferencedImageSequence = [data_set(2, ReferencedSeriesSequence=[data_set(3), Dataset()])]
    block = ds.private_block(0x0029, "CANARY 1", create=True)
    block.add_new(1, "LO", "value")
    block.add_new(2, "SQ", [data_set(4)])
    explicit = write(tmp_path / "explicit.dcm", ds)
    implicit = tmp_path / "implicit.dcm"
    as_implicit = transcoded(explicit, ImplicitVRLittleEndian)
    write(implicit, as_implicit, ImplicitVRLittleEndian)
    back = transcoded(implicit)
    assert back[0x00280106].VR == "SS"
    assert back[0x00280106].value == -5
    assert others(back.ReferencedImageSequence[0]) == others(ds.ReferencedImageSequence[0])
    assert back[0x00291001].value == b"value "
    assert back[0x00291002].value[0].PatientID == "4711"


@pytest.mark.parametrize("program", [DEFLATED, BIG_ENDIAN], ids="-".join)
def test_dcmtk_finds_the_same_elements_in_it_as_in_the_original(
    tmp_path: Path, transcoded: Transcode, program: tuple[str, ...]
) -> None:
    source = stored_as(program, wheel("CT_small.dcm"), tmp_path / "source.dcm")
    transcoded(source)
    original = stored_as(("dcmconv", "--length-undefined"), wheel("CT_small.dcm"), tmp_path / "original.dcm")
    dumps = [
        run_tool("dcmdump", "-q", *how, it) for how, it in ((("-f", "-te"), source.with_suffix(".out")), ((), original))
    ]
    ours, known = (
        [line for line in it.stdout.splitlines() if line.startswith("(") and line[1:5] != "0002"] for it in dumps
    )
    assert ours == known
    assert len(known) > 100


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"Rows": 65535, "Columns": 65535}, "over 256 MiB"),
        ({"NumberOfFrames": 2_000_000}, "4 GiB"),
        ({"NumberOfFrames": 0}, "4 GiB"),
        ({"NumberOfFrames": 40}, "as many frames as it declares"),
        ({"Rows": 30}, "not of the sizes that it declares"),
        ({"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}, "not of the sizes that it declares"),
        ({"SamplesPerPixel": 7}, "contradict"),
        ({"BitsAllocated": 12}, "contradict"),
        ({"Rows": None}, "missing"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "cannot be decoded"),
    ],
    ids=str,
)
def test_an_image_that_is_not_what_it_declares_is_refused_before_it_is_decoded(
    tmp_path: Path, transcoded: Transcode, changed: dict[str, object], why: str
) -> None:
    fragments = fragments_of(stored_as(JPEG_LOSSLESS, image(tmp_path / "known.dcm"), tmp_path / "jpeg.dcm"))
    with pytest.raises(DataSetError, match=why):
        transcoded(broken(tmp_path / "source.dcm", fragments, JPEGLosslessSV1, **changed))


def test_sixteen_bit_cells_that_a_codestream_of_eight_bits_would_not_fill_are_refused(
    tmp_path: Path, transcoded: Transcode
) -> None:
    fragments = fragments_of(stored_as(JPEG_LS, image(tmp_path / "known.dcm"), tmp_path / "jpeg.dcm"))
    with pytest.raises(DataSetError, match="not of the sizes"):
        transcoded(broken(tmp_path / "source.dcm", fragments, JPEGLSLossless, BitsAllocated=16))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("kept", [2, 40, 200, 600])
def test_truncated_fragments_are_refused(tmp_path: Path, transcoded: Transcode, syntax: str, kept: int) -> None:
    program = {RLELossless: RLE, JPEGLosslessSV1: JPEG_LOSSLESS, JPEG2000Lossless: J2K, JPEGLSLossless: JPEG_LS}[syntax]
    whole = fragments_of(stored_as(program, image(tmp_path / "known.dcm"), tmp_path / "whole.dcm"))
    with pytest.raises(DataSetError):
        transcoded(broken(tmp_path / "source.dcm", [whole[0], whole[1][:kept], whole[2]], syntax))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_data_set_that_is_cut_short_is_refused(tmp_path: Path, transcoded: Transcode, share: float) -> None:
    for program in (RLE, DEFLATED, BIG_ENDIAN):
        source = stored_as(program, wheel("CT_small.dcm"), tmp_path / "source.dcm")
        source.write_bytes(source.read_bytes()[: int(source.stat().st_size * share)])
        with pytest.raises(DataSetError):
            transcoded(source, ImplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", [MPEG2MPML, HTJ2KLossless])
def test_a_syntax_without_a_decoder_is_refused_and_says_what_to_install_if_that_helps(
    tmp_path: Path, transcoded: Transcode, syntax: str
) -> None:
    with pytest.raises(DataSetError) as refusal:
        transcoded(broken(tmp_path / "source.dcm", [b"\xff\x4f"] * 3, syntax))
    assert ("pip install 'dcmrelay[htj2k]'" in refusal.value.reason) == (syntax == HTJ2KLossless)


def test_sequences_without_end_are_refused_and_not_followed(tmp_path: Path, transcoded: Transcode) -> None:
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    source = write(tmp_path / "source.dcm", data_set())
    source.write_bytes(source.read_bytes() + opened * 500)
    with pytest.raises(DataSetError, match="nested"):
        transcoded(source)


def test_big_endian_pixels_of_more_than_two_bytes_are_refused_as_their_order_is_ambiguous(
    tmp_path: Path, transcoded: Transcode
) -> None:
    with pytest.raises(DataSetError, match="big endian"):
        transcoded(copied(wheel("rtdose_expb.dcm"), tmp_path))
    assert dcmread(wheel("rtdose_expb.dcm")).file_meta.TransferSyntaxUID == ExplicitVRBigEndian


def test_no_refusal_quotes_the_data_set(tmp_path: Path, transcoded: Transcode) -> None:
    for number, fragments in enumerate(
        ([b"CANARY"] * 3, [b"\xff\xd8CANARY"] * 3, [b"\xff\x4f\xff\x51CANARY" * 20] * 3)
    ):
        for syntax in (JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless, RLELossless):
            with pytest.raises(DataSetError) as refusal:
                transcoded(broken(tmp_path / f"{number}.dcm", fragments, syntax))
            assert "CANARY" not in str(refusal.value)


def test_a_byte_that_makes_gdcm_abort_costs_one_image_and_the_next_is_decoded(
    tmp_path: Path, transcoded: Transcode
) -> None:
    bad = copied(wheel("SC_rgb_dcmtk_+eb+cy+np.dcm"), tmp_path)
    content = bytearray(bad.read_bytes())
    content[1965] = 132  # found by mutation: python-gdcm 3.2.6 throws an exception that nothing catches
    bad.write_bytes(content)
    with pytest.raises(DataSetError, match=r"a decoder crashed on it|cannot be decoded"):
        transcoded(bad)
    assert transcoded(stored_as(RLE, wheel("MR_small.dcm"), tmp_path / "good.dcm")).Rows == 64


def copied(file: Path, folder: Path) -> Path:
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    return copy


def items(*values: bytes) -> bytes:
    """Encapsulated pixel data: the offset table and fragments as they are given."""
    return b"".join(b"\xfe\xff\x00\xe0" + len(it).to_bytes(4, "little") + it for it in values)


def by_pixel(ds: Dataset) -> list[bytes]:
    """Colour pixels of a single 8-bit frame, whatever the planar configuration."""
    pixels, area = ds.PixelData, ds.Rows * ds.Columns
    if ds.PlanarConfiguration:
        return [bytes(it) for it in zip(*(pixels[n * area : (n + 1) * area] for n in range(3)), strict=True)]
    return [pixels[n : n + 3] for n in range(0, 3 * area, 3)]
