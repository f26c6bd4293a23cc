"""The interactive demo: an agent works on a device while a person watches, corrects and takes over.

commands.py         what the page asks for
events.py           what it is told
protocol.py         how both are read and written
frames.py           how a screen travels
screen.py           the newest screen, and who waits for a newer one
asking.py           the policy, listened to, and asked once more for something else
staleness.py        whether a screen has changed under an action that waited
desk.py             what the person wants: paused, approving, taken over, and the answers to proposals
scene.py            what the agent and the device of one directed episode share
directed.py         an agent that a person directs, for the one episode loop
directed_device.py  its device: one thing at a time, undone where it can be
marks.py            which turns of the loop are steps, and what is kept of proposals that were not performed
budget.py           steps, time and money
episode.py          one directed episode
world.py            what a session needs to know of the rest of the program
borrowed.py         the device: lent, looked at while idle, taken up again
archive.py          the episodes that have ended
hands.py            what a person does by hand
directing.py        what a person says to the episode that runs
session.py          one device, one episode after the other, by commands and events
clients.py          the tabs that look on, and the one that decides
server.py           HTTP and WebSocket
client.py           a page without a browser, for programs and tests
export.py           chosen episodes as a zip
page/               the page
"""
