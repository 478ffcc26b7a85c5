"""De-identification: renditions of study parts, each with its proof."""
