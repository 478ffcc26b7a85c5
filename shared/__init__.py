"""What producers and consumers have in common: spool, broker, DICOM upper layer, configuration, metrics, logs."""
