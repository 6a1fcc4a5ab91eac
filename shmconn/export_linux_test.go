package shmconn

// CloseSocket is what closes the socket of a connection.
var CloseSocket = closeSocket
