"""What the digital cores compute: integer arithmetic rounded as onnxruntime rounds it. Arrays in, arrays out."""
