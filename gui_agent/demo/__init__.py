"""The interactive demo: an agent works on a device while a person watches, corrects and takes over.

protocol.py    what the page and the server say to each other
frames.py      how a screen travels
asking.py      the policy, listened to: what each stage of a decision says, what it costs, asking again
desk.py        what the person wants: paused, approving, taken over, and the answers to proposals
directed.py    an agent and a device that a person directs, for the one episode loop
recording.py   from what happened to what is stored
screen.py      the newest screen, and who looks when
budget.py      steps, time and money
session.py     one device, one episode after the other
clients.py     the tabs that look on, and the one that decides
server.py      HTTP and WebSocket
export.py      chosen episodes as a zip
"""
