"""How well words can be told from what lies behind them."""


def contrast(part) -> float:
    """WCAG's contrast of the colour of the words in a part against what lies behind them."""
    colours = part.evaluate(
        """(part) => {
            const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
            const mixed = (colours) => {
                for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); }
                return Array.from(paint.getImageData(0, 0, 1, 1).data.slice(0, 3));
            };
            const behind = [];
            for (let at = part; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
            return [mixed(["white", ...behind, getComputedStyle(part).color]), mixed(["white", ...behind])];
        }"""
    )
    light, dark = sorted(map(luminance, colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[int]) -> float:
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in (part / 255 for part in colour)]
    return sum(share * one for share, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
