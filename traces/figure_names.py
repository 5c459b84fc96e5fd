"""What figures of a report are called in texts and pages, with their units."""

_NAMES = {
    "images_per_second": "images/s",
    "images_per_second_steady": "images/s in steady state",
    "makespan_s": "makespan (s)",
    "first_image_latency_s": "latency of the first image (s)",
    "mean_image_latency_s": "mean latency of an image (s)",
    "tops": "TOPS",
    "energy_mj_per_image": "energy (mJ per image)",
    "energy_mj_per_batch": "energy (mJ per batch)",
    "power_w": "power (W)",
    "tops_per_watt": "TOPS/W",
    "gops_per_mm2": "GOPS/mm2",
    "area_mm2": "area (mm2)",
    "loss_factors.total": "loss: all together",
}


def figure_name(key: str) -> str:
    """Return what a figure is called.

    Args:
        key: its key in the JSON report; dots lead into it.
    """
    return _NAMES.get(key) or key.replace("loss_factors.", "loss: ").replace("_", " ")
