"""Reads a DLMS meter with somebody else's client: dlms_reader.py CLIENT PORT SECURITY

CLIENT is dlms-cosem or gurux, SECURITY none, PASSWORD, or KEY:KEY in hexadecimal. Over the wrapper at
127.0.0.1:PORT; prints energy, its scaler and its unit as a line of JSON."""

import contextlib
import json
import math
import socket
import sys

ENERGY = "1.0.1.8.0.255"


def with_dlms_cosem(port, password, keys):
    from dlms_cosem import cosem, enumerations
    from dlms_cosem.clients.dlms_client import DlmsClient
    from dlms_cosem import a_xdr, dlms_data

    method = enumerations.AuthenticationMechanism.LLS if password else None
    client = DlmsClient.with_tcp_transport(
        host="127.0.0.1", port=port, client_logical_address=1 if password else 16, server_logical_address=1,
        authentication_method=method, password=password, max_pdu_size=1024)
    told = []
    with client.session() as session:
        for attribute in (2, 3):
            name = cosem.Obis.from_string("1-0:1.8.0.255")
            answer = session.get(cosem.CosemAttribute(enumerations.CosemInterface.REGISTER, name, attribute))
            parser = a_xdr.AXdrDecoder(encoding_conf=a_xdr.EncodingConf([a_xdr.Sequence(attribute_name="data", instance_factory=dlms_data.DlmsDataFactory)]))
            told.append(parser.decode(answer)["data"])
    scaler, unit = told[1]
    return told[0], scaler, unit


def with_gurux(port, password, keys):
    from gurux_dlms import GXByteBuffer, GXReplyData
    from gurux_dlms.enums import Authentication, InterfaceType, Security
    from gurux_dlms.objects import GXDLMSRegister
    from gurux_dlms.secure import GXDLMSSecureClient

    client = GXDLMSSecureClient(True, 16, 1, Authentication.NONE, None, InterfaceType.WRAPPER)
    client.clientAddress = 1 if password or keys else 16
    if password:
        client.authentication, client.password = Authentication.LOW, password
    if keys:
        client.authentication = Authentication.HIGH_GMAC
        client.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        client.ciphering.systemTitle = b"GRX00001"
        client.ciphering.blockCipherKey, client.ciphering.authenticationKey = keys
        client.ciphering.invocationCounter = 1
    stream = socket.create_connection(("127.0.0.1", port), timeout=10)

    def ask(messages):
        reply = GXReplyData()
        for message in messages if isinstance(messages, list) else [messages]:
            reply.clear()
            stream.sendall(bytes(message))
            received = GXByteBuffer()
            while True:
                chunk = stream.recv(4096)
                assert chunk, "the meter hung up"
                received.set(chunk)
                if client.getData(received, reply, None):
                    break
        return reply

    client.parseAareResponse(ask(client.aarqRequest()).data)
    if keys:
        client.parseApplicationAssociationResponse(ask(client.getApplicationAssociationRequest()).data)
    register = GXDLMSRegister(ENERGY)
    for attribute in (3, 2):
        client.updateValue(register, attribute, ask(client.read(register, attribute)).value)
    for message in client.releaseRequest():
        stream.sendall(bytes(message))
    # The client applies the scaler to the value.
    return round(register.value / register.scaler), round(math.log10(register.scaler)), int(register.unit)


def main():
    name, port, security = sys.argv[1:4]
    password, keys = None, None
    if ":" in security:
        keys = [bytes.fromhex(key) for key in security.split(":")]
    elif security != "none":
        password = security.encode()
    read = {"dlms-cosem": with_dlms_cosem, "gurux": with_gurux}[name]
    # Some clients tell on standard output what they do.
    with contextlib.redirect_stdout(sys.stderr):
        value, scaler, unit = read(int(port), password, keys)
    print(json.dumps({"value": value, "scaler": scaler, "unit": unit}), flush=True)


main()
