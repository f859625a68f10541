"""Every way of sharing a config can name."""

from cotrain.core.gallery import Gallery
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE

SHARINGS = Gallery("sharing", (Apart, Hard, MMoE))
