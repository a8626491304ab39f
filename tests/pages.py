"""What every figure must do."""

from matplotlib.figure import Figure


def on_the_page(figure: Figure) -> bool:
    """Everything that is drawn lies within the page."""
    figure.savefig("/dev/null", format="png", dpi=50)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return box.x0 >= -0.05 and box.y0 >= -0.05 and box.x1 <= width + 0.05 and box.y1 <= height + 0.05
