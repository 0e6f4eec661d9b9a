"""The lists of stores to measure."""

from benchmarks.peers import Peer
from benchmarks.peers.floor import Floor
from benchmarks.peers.google_adk import GoogleADK
from benchmarks.peers.langgraph import LangGraph
from benchmarks.peers.openai_agents import OpenAIAgents
from benchmarks.peers.ours import OursAsync, OursAsyncpg, OursBlocking, OursListened, OursThreads
from benchmarks.peers.reference import Reference
from benchmarks.peers.seed import Seed

OURS: tuple[type[Peer], ...] = (OursAsync, OursAsyncpg, OursThreads, OursBlocking)
LISTENED = OursListened
ADAPTERS: tuple[type[Peer], ...] = (Reference, Seed, Floor)
"""Stores with the same contract, or less."""
OTHERS: tuple[type[Peer], ...] = (OpenAIAgents, GoogleADK, LangGraph)
"""Stores with another contract, each measured on its own equivalent."""

HEADLINE = OursAsync
BASELINE = Reference
