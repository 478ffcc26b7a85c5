"""An instance in Explicit or Implicit VR Little Endian, whatever it was stored in; nothing is ever compressed.

`transcoder` is the sender's side. The work is done in a child process (`__main__`), since decoders are native code that
a broken image can crash: `transcode` tells the story, `rewriting` walks the data set, `images` finds frames, `decoding`
turns one frame into pixels, `elements` knows how elements are written.
Source: ADR 0012.
"""
