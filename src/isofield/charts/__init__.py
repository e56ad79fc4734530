"""Local charts: where the neighbours of a point lie, seen from within the domain.

In the plane and in space a neighbour y has the coordinates `(y - x)/r` around x. On a
surface it has those of its logarithm: the direction in which the shortest path to it
starts, in a tangent frame at x, and the length of that path. What a layer computes from
them does not change when the surface is bent without stretching. Frames may be chosen
at will; `transport` says by which angle those of two points differ.
"""

from isofield.charts.coordinates import Chart, chart_dimension, local_coordinates
from isofield.charts.extended import normals_at
from isofield.charts.frames import frames, transport

__all__ = [
    "Chart",
    "chart_dimension",
    "local_coordinates",
    "frames",
    "transport",
    "normals_at",
]
