from .program import main as main
from .program import parser as parser
from .world import comm_world as comm_world
