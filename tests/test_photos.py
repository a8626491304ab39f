"""Photographs: files as people have them, and batches whose truth holds."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from exemplar_lab.data import images, photos
from exemplar_lab.data.images import check_same_size, find_images, read_image, read_size, square, write_image
from exemplar_lab.data.photos import Photographs, pair, pair_from_files
from exemplar_lab.grid import sample_at


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """A photograph of nothing: smooth coloured noise."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """Forty photographs, of which some lie deeper, and things that are none."""
    (tmp_path / "deeper" / ".thumbnails").mkdir(parents=True)
    for i in range(40):
        noise(80, 96 + i, i).save(tmp_path / ("deeper" if i % 2 else ".") / f"{i:02}.{'jpg' if i % 3 else 'PNG'}")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._00.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "deeper" / ".thumbnails" / "a.png").write_bytes(b"hidden")
    return tmp_path


# One image


def saved(tmp_path, image: Image.Image, name: str = "image.png", **how) -> torch.Tensor:
    image.save(tmp_path / name, **how)
    pixels = read_image(tmp_path / name)
    assert read_size(tmp_path / name) == tuple(pixels.shape[-2:])
    return pixels


def test_every_mode_gives_three_channels_in_0_1(tmp_path):
    colour = noise(24, 40)
    expected = torch.from_numpy(np.array(colour)).movedim(-1, 0) / 255
    assert torch.equal(saved(tmp_path, colour), expected)
    assert (saved(tmp_path, colour.convert("CMYK"), "cmyk.jpg", quality=100) - expected).abs().mean() < 0.05
    assert (saved(tmp_path, colour.quantize(64), "palette.png") - expected).abs().mean() < 0.1
    grey = torch.from_numpy(np.array(colour.convert("L"))) / 255
    assert torch.equal(saved(tmp_path, colour.convert("L"), "grey.png"), grey.expand(3, -1, -1))
    assert set(saved(tmp_path, colour.convert("1"), "two.png").unique().tolist()) == {0, 1}


def test_transparent_pixels_are_white(tmp_path):
    image = noise(20, 20).convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 10, 1).repeat(20, 0)))
    pixels = saved(tmp_path, image)
    assert (pixels[..., :10] == 1).all()
    assert torch.equal(pixels[..., 10:], torch.from_numpy(np.array(image)[:, 10:, :3]).movedim(-1, 0) / 255)
    grey = saved(tmp_path, image.convert("LA"), "grey.png")
    assert (grey[..., :10] == 1).all() and (grey[..., 10:] < 1).any()
    palette = Image.fromarray(np.zeros((20, 20), np.uint8)).convert("P")
    assert (saved(tmp_path, palette, "palette.png", transparency=0) == 1).all()


def test_sixteen_bits_keep_their_scale(tmp_path):
    ramp = np.linspace(0, 65535, 20 * 20).reshape(20, 20).astype(np.uint16)
    for name in ("ramp.png", "ramp.tif"):
        pixels = saved(tmp_path, Image.fromarray(ramp), name)
        np.testing.assert_allclose(pixels[1], ramp / 65535, atol=1e-6)


@pytest.mark.parametrize("orientation, turn", [(3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_a_turned_photograph_stands_upright(tmp_path, orientation, turn, name):
    image = noise(24, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.rot90(np.array(image), turn)
    assert np.array_equal(saved(tmp_path, image, name, exif=exif).movedim(0, -1) * 255, upright)


def test_shrinking_on_the_way_in(tmp_path):
    noise(300, 400).save(tmp_path / "large.jpg")
    small, whole = read_image(tmp_path / "large.jpg", shortest=60), read_image(tmp_path / "large.jpg")
    assert small.shape == (3, 60, 80)
    assert (small - images.resize(whole, (60, 80))).abs().mean() < 0.01
    assert read_image(tmp_path / "large.jpg", shortest=1000).shape == (3, 300, 400)


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_a_cut_off_file_gives_one_clear_error(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    noise(40, 40).save(path)
    whole = path.read_bytes()
    for length in (0, 3, 20, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\..*cannot be read as an image.*whole file.*save or download it again"):
            read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_damaged_file_gives_an_image_or_a_value_error(tmp_path, suffix):
    path = tmp_path / f"damaged{suffix}"
    noise(40, 40).save(path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 3):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_image(path).shape[0] == 3
        except ValueError as error:
            assert "damaged" in str(error)


def test_other_bad_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png, which does not exist; expected an image file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        read_image(tmp_path)
    noise(40, 16).crop((0, 0, 15, 40)).save(tmp_path / "tiny.png")
    with pytest.raises(ValueError, match=r"tiny\.png of 15 × 40 pixels, expected at least 16 × 16: use a larger image"):
        read_image(tmp_path / "tiny.png")
    Image.fromarray(np.zeros((20, 20), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match="save it with 8 or 16 bits"):
        read_image(tmp_path / "float.tif")


# Writing


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_can_be_read(tmp_path, channels):
    image = torch.rand(channels, 20, 30)
    write_image(tmp_path / "image.png", image)
    assert (read_image(tmp_path / "image.png") - image).abs().max() <= 0.5 / 255 + 1e-6
    write_image(tmp_path / "new" / "image.jpg", image)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["image.jpg", "image.png", "new"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    write_image(path, torch.zeros(3, 16, 16))
    before = path.read_bytes()

    def full_disk(self, file, *_, **__):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_image(path, torch.ones(3, 16, 16))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"file name image\.gif, expected a name that ends in \.png"):
        write_image(tmp_path / "image.gif", torch.zeros(3, 16, 16))
    with pytest.raises(ValueError, match="finite: False"):
        write_image(tmp_path / "image.png", torch.full((3, 16, 16), torch.nan))
    with pytest.raises(ValueError, match=r"shape \(2, 16, 16\)"):
        write_image(tmp_path / "image.png", torch.zeros(2, 16, 16))
    assert not list(tmp_path.iterdir())


# Folders


def test_folders_are_searched_to_the_bottom(folder):
    assert [path.stem for path in find_images(folder)] == [f"{i:02}" for i in (*range(0, 40, 2), *range(1, 40, 2))]


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no image; expected files that end in \.png"):
        Photographs(folder=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere, which does not exist; expected a folder of images \(\.png"):
        Photographs(folder=tmp_path / "nowhere")
    noise(80, 80).save(tmp_path / "one.png")
    with pytest.raises(FileNotFoundError, match=r"one\.png, which is a file"):
        Photographs(folder=tmp_path / "one.png")
    with pytest.raises(ValueError, match="got one image in .*, expected at least two"):
        Photographs(folder=tmp_path)
    noise(40, 80).save(tmp_path / "low.png")
    noise(80, 80).save(tmp_path / "three.png")
    splits = [split for split in ("train", "val") if tmp_path / "low.png" in Photographs(16, split, tmp_path).paths]
    with pytest.raises(ValueError, match=r"got 1 of . photographs with a side below 64 pixels.*low\.png of 80 × 40"):
        Photographs(64, splits[0], tmp_path)
    (tmp_path / "broken.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"broken\.png, which cannot be read"):
        [Photographs(16, split, tmp_path) for split in ("train", "val")]


def test_photographs_are_held_out_whole_and_by_name(folder):
    train, val = (Photographs(64, split, folder).paths for split in ("train", "val"))
    assert set(train) | set(val) == set(find_images(folder)) and not set(train) & set(val)
    assert 1 <= len(val) <= 10
    noise(80, 80).save(folder / "new.png")
    assert set(val) <= set(Photographs(64, "val", folder).paths) <= {*val, folder / "new.png"}


@pytest.mark.parametrize("many", [2, 3, 5])
def test_no_side_of_a_small_folder_is_empty(tmp_path, many):
    for seed in range(12):
        place = tmp_path / str(seed)
        place.mkdir()
        for i in range(many):
            noise(64, 64).save(place / f"{seed}-{i}.png")
        assert all(len(Photographs(64, split, place).paths) >= 1 for split in ("train", "val"))


def test_memory_does_not_grow_with_the_folder(folder):
    source = Photographs(32, "train", folder)
    source.batch(torch.arange(len(source.paths)))
    assert len(source.paths) > 32 >= photos._pyramid.cache_info().currsize


# The source


@pytest.mark.parametrize("wrong", [{"size": 8}, {"split": "test"}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=r"got .*, expected .*: choose"):
        Photographs(**wrong)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("size, limit", [(64, 0.02), (256, 0.02)])
def test_the_exemplar_warped_by_the_true_flow_is_the_target(split, size, limit):
    source = Photographs(size, split)
    batch = source.batch(torch.arange(7))
    visible = batch.truth.visible[:, None].expand_as(batch.target)
    assert (sample_at(batch.exemplar, batch.truth.flow) - batch.target).abs()[visible].mean() < limit
    assert (batch.exemplar - batch.target).abs()[visible].mean() > 0.06


def test_a_crop_is_a_square_of_the_photograph(tmp_path):
    across, down = np.meshgrid(np.arange(240), np.arange(160))
    ramps = np.stack([across, down, 0 * down], axis=-1).astype(np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(ramps).save(tmp_path / name)
    red, green, _ = (255 * Photographs(32, folder=tmp_path).batch(torch.arange(30)).target).unbind(1)
    for position, side in ((red, 240), (green, 160)):
        assert position.min() > 0 and position.max() < side - 1
    zoom_x, zoom_y = red.diff(dim=2).mean((1, 2)), green.diff(dim=1).mean((1, 2))
    torch.testing.assert_close(zoom_x, zoom_y, rtol=0.01, atol=0)
    assert zoom_x.min() > 1 and zoom_x.max() * 32 < 160 and zoom_x.max() > 1.3 * zoom_x.min()
    corners = torch.stack([red[:, 0, 0], green[:, 0, 0]])
    assert (corners.amax(1) - corners.amin(1) > 30).all()


def test_batches_are_what_a_source_promises():
    source = Photographs(64)
    batch = source.batch(torch.tensor([2**62, 0, 5]))
    assert batch.condition.shape == batch.exemplar_condition.shape == (3, source.condition_channels, 64, 64)
    for image in (batch.condition, batch.target, batch.exemplar, batch.exemplar_condition):
        assert image.min() >= 0 and image.max() <= 1
    assert batch.paired.all() and source.length is None and Photographs(split="val").length == 256
    assert batch.truth.target_albedo is batch.target and batch.truth.exemplar_albedo is batch.exemplar
    assert batch.truth.flow.isfinite().all()


def test_a_sample_depends_on_its_index_alone():
    source, again = Photographs(64), Photographs(64)
    together, alone = source.batch(torch.arange(20)), again.batch(torch.tensor([13]))
    for field in ("target", "exemplar"):
        torch.testing.assert_close(getattr(together, field)[13:14], getattr(alone, field), atol=1e-4, rtol=0)
    assert (together.condition[13:14] != alone.condition).float().mean() < 0.01
    assert (together.target[:-7] - together.target[7:]).abs().flatten(1).mean(1).min() > 0.01  # the same photograph, elsewhere
    other = dataclasses.replace(source, split="val").batch(torch.tensor([13]))
    assert (other.target - alone.target).abs().mean() > 0.05


def test_the_photographs_are_those_in_the_wheel(monkeypatch, tmp_path):
    assert not set(photos.BUILT_IN["train"]) & set(photos.BUILT_IN["val"])
    monkeypatch.setitem(photos.BUILT_IN, "val", ("chelsea.png", "nobody.png"))
    with pytest.raises(FileNotFoundError, match=r"without nobody\.png.*reinstall scikit-image, or name a folder"):
        Photographs(split="val")


# A user's own two images


def test_a_pair_of_ones_own(tmp_path):
    noise(50, 90).save(tmp_path / "structure.png")
    noise(120, 64, 1).save(tmp_path / "look.jpg")
    batch = pair_from_files(tmp_path / "structure.png", tmp_path / "look.jpg", size=32)
    assert batch.target.shape == batch.exemplar.shape == (1, 3, 32, 32)
    assert batch.truth is None and not batch.paired.any()
    assert torch.equal(batch.target[0], square(read_image(tmp_path / "structure.png"), 32))


def test_a_large_photograph_is_no_bomb_and_a_huge_one_is_refused(tmp_path, monkeypatch, recwarn):
    """Pillow warns of more than its limit, and refuses more than twice as much."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for side in (40, 50):
        Image.new("L", (side, side)).save(tmp_path / f"{side}.png")
    assert read_image(tmp_path / "40.png").shape == (3, 40, 40) and read_size(tmp_path / "40.png") == (40, 40)
    with pytest.raises(ValueError, match=r"^got .*50.png of more than 2,000 pixels, expected fewer: make it smaller"):
        read_image(tmp_path / "50.png")
    assert not recwarn.list


def test_sizes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"got structure of 32 × 32, exemplar of 32 × 48 pixels .*expected one size.*resize"):
        pair(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 48))
    check_same_size(a=torch.rand(1, 32, 32), b=torch.rand(2, 3, 32, 32))
